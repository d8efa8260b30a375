// Service worker: sends what waits, and shows an answer link that was opened before when there is no network.
// Pages of the desk are never kept: only what one link, for one person and one incident, had shown.
(function () {
  "use strict";
  var PAGES = "pages-1", FILES = "files-1", MOST_PAGES = 8, OFFLINE = "/offline";

  self.addEventListener("install", function (event) {
    event.waitUntil(caches.open(FILES).then(function (cache) { return cache.add(OFFLINE); }).then(function () { return self.skipWaiting(); }));
  });
  self.addEventListener("activate", function (event) {
    event.waitUntil(caches.keys().then(function (names) {
      return Promise.all(names.filter(function (name) { return name !== PAGES && name !== FILES; }).map(function (name) { return caches.delete(name); }));
    }).then(function () { return self.clients.claim(); }));
  });
  // A page that was opening just when the worker took over was left out.
  self.addEventListener("message", function (event) { if (event.data === "claim") event.waitUntil(self.clients.claim()); });
  self.addEventListener("sync", function (event) {
    if (event.tag !== "outbox") return;
    event.waitUntil(Outbox.flush().then(function (outcomes) {
      self.clients.matchAll().then(function (pages) { pages.forEach(function (page) { page.postMessage("flushed"); }); });
      if (Object.keys(outcomes).some(function (key) { return outcomes[key] === "later"; })) throw new Error("not yet");
    }));
  });

  // A page: always shown, also where it can't be read, because a browser takes the right away from whoever stays silent.
  self.addEventListener("push", function (event) {
    var page;
    try { page = event.data.json(); } catch (error) { page = { title: "封哨 SealWatch", body: "", url: "/", tag: "", choices: [] }; }
    event.waitUntil(self.registration.showNotification(page.title, {
      body: page.body, lang: page.language === "en" ? "en" : "zh-CN", tag: page.tag, renotify: !!page.tag, requireInteraction: true,
      vibrate: [400, 200, 400, 200, 400], icon: "/static/mark.svg", data: { url: page.url, urls: page.choices.map(function (one) { return one.url; }) },
      actions: page.choices.slice(0, 2).map(function (one, index) { return { action: String(index), title: one.title }; })
    }));
  });
  self.addEventListener("notificationclick", function (event) {
    var data = event.notification.data || {}, url = new URL((data.urls || [])[event.action] || data.url || "/", self.location.origin);
    event.notification.close();
    if (url.origin === self.location.origin) event.waitUntil(self.clients.openWindow(url.href));
  });

  function keep(name, request, response) {
    var copy = response.clone();
    return caches.open(name).then(function (cache) {
      return cache.put(request.url.split("?")[0], copy).then(function () { return cache.keys(); }).then(function (kept) {
        if (name === PAGES && kept.length > MOST_PAGES) return cache.delete(kept[0]);
        return null;
      });
    }).then(function () { return response; }, function () { return response; });
  }
  function kept(name, request) { return caches.open(name).then(function (cache) { return cache.match(request.url.split("?")[0]); }); }
  function marked(response) {
    return response.text().then(function (html) {
      return new Response(html.replace('data-kept=""', 'data-kept="1"'), { headers: response.headers });
    });
  }
  function page(request) {
    return fetch(request).then(function (response) {
      return response.ok && !response.redirected ? keep(PAGES, request, response) : response;
    }, function (error) {
      if (request.mode !== "navigate") throw error;
      return kept(PAGES, request).then(function (found) {
        if (found) return marked(found);
        return caches.match(OFFLINE).then(function (offline) { if (offline) return offline; throw error; });
      });
    });
  }
  function file(request) {
    return fetch(request).then(function (response) { return response.ok ? keep(FILES, request, response) : response; }, function (error) {
      return kept(FILES, request).then(function (found) { if (found) return found; throw error; });
    });
  }
  self.addEventListener("fetch", function (event) {
    var request = event.request, url = new URL(request.url);
    if (request.method !== "GET" || url.origin !== self.location.origin) return;
    if (/^\/a\/[^/]+$/.test(url.pathname)) event.respondWith(page(request));
    else if (request.mode === "navigate") event.respondWith(fetch(request).catch(function (error) {
      return caches.match(OFFLINE).then(function (offline) { if (offline) return offline; throw error; });
    }));
    else if (/^\/static\//.test(url.pathname) || /^\/a\/[^/]+\/pictures\/[0-9a-f]+\/preview$/.test(url.pathname)) event.respondWith(file(request));
  });
})();
