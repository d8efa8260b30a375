// Live pages. Everything works without this file; it only keeps an open page fresh.
(function () {
  "use strict";
  var body = document.body, data = body.dataset;
  var serverNow = Number(data.now), loadedAt = performance.now();
  var POLL_MS = 20000, SHORTEST_MS = 700;

  // --- relative times, by the server's clock: phones are often wrong ---
  function now() { return serverNow + (performance.now() - loadedAt); }
  function ago(ageMs) {
    var s = Math.floor(ageMs / 1000);
    if (s < 10) return data.justNow;
    if (s < 60) return data.secondsAgo.replace("{n}", s);
    if (s < 3600) return data.minutesAgo.replace("{n}", Math.floor(s / 60));
    if (s < 86400) return data.hoursAgo.replace("{n}", Math.floor(s / 3600));
    return data.daysAgo.replace("{n}", Math.floor(s / 86400));
  }
  function tick() {
    document.querySelectorAll("[data-ago]").forEach(function (e) {
      var words = ago(now() - Number(e.dataset.ago));
      if (e.textContent !== words) e.textContent = words;
    });
  }
  tick();
  setInterval(tick, 1000);
  function offline() { var e = document.getElementById("offline"); if (e) e.hidden = false; }
  if (data.kept) offline();
  window.addEventListener("offline", offline);

  // --- fetch the page again and exchange the regions that differ ---
  if (!data.events || !window.EventSource || !window.fetch) return;
  function essence(region) {
    var copy = region.cloneNode(true);
    copy.querySelectorAll("[data-ago], [data-age]").forEach(function (e) { e.textContent = ""; });
    copy.querySelectorAll("input[type=hidden]").forEach(function (e) { e.setAttribute("value", ""); });
    copy.querySelectorAll("details").forEach(function (e) { e.removeAttribute("open"); });
    return copy.outerHTML;
  }
  var known = {};
  document.querySelectorAll("[data-live]").forEach(function (r) { known[r.id] = essence(r); });

  // A region in which somebody is writing is left alone until it is sent.
  function inUse(region) {
    return Array.prototype.some.call(region.querySelectorAll("textarea, input[type=file], input[type=radio]"), function (f) {
      return f.type === "radio" ? f.checked !== f.defaultChecked : f.value !== f.defaultValue;
    });
  }
  function exchange(old, fresh) {
    var next = essence(fresh);
    if (known[old.id] === next || inUse(old)) return;
    var active = document.activeElement, focused = old.contains(active) ? active.id : "";
    old.querySelectorAll("details[open]").forEach(function (e) {
      var same = fresh.querySelector("#" + CSS.escape(e.id));
      if (same) same.open = true;
    });
    // A picture that is already on the screen stays: no flicker, nothing fetched twice.
    old.querySelectorAll("img, video").forEach(function (image) {
      var same = Array.prototype.find.call(fresh.querySelectorAll(image.tagName), function (i) { return i.getAttribute("src") === image.getAttribute("src"); });
      if (same) same.replaceWith(image);
    });
    known[old.id] = next;
    old.replaceWith(fresh);
    document.dispatchEvent(new Event("sealwatch:exchanged"));
    if (focused && document.getElementById(focused)) document.getElementById(focused).focus({ preventScroll: true });
  }
  var fetching = false, again = false;
  function refresh() {
    if (fetching) { again = true; return; }
    fetching = true;
    fetch(location.href, { headers: { Accept: "text/html" }, credentials: "same-origin", cache: "no-store" })
      .then(function (response) {
        if (response.redirected || response.status === 410) { location.reload(); return null; }
        return response.ok ? response.text() : null;
      })
      .then(function (html) {
        if (html === null) return;
        var fresh = new DOMParser().parseFromString(html, "text/html");
        serverNow = Number(fresh.body.dataset.now);
        loadedAt = performance.now();
        document.title = fresh.title;
        document.querySelectorAll("[data-live]").forEach(function (old) {
          var region = fresh.getElementById(old.id);
          if (region) exchange(old, document.importNode(region, true));
        });
        tick();
      })
      .catch(function () { /* offline: the status at the top says so, and the stream tries again */ })
      .finally(function () {
        setTimeout(function () {
          fetching = false;
          if (again) { again = false; refresh(); }
        }, SHORTEST_MS);
      });
  }

  document.addEventListener("sealwatch:refresh", refresh);

  // --- the stream, and a slow poll where there is none ---
  var live = document.getElementById("live"), polling = 0;
  function show(sentence, off) {
    live.hidden = false;
    live.textContent = sentence;
    live.classList.toggle("off", off);
  }
  var source = new EventSource(data.events + "?seen=" + encodeURIComponent(data.stamp));
  source.onopen = function () { show(data.liveOn, false); };
  source.addEventListener("change", refresh);
  source.onerror = function () {
    if (source.readyState !== EventSource.CLOSED) { show(data.liveOff, true); return; }
    show(data.livePolling, true);
    if (!polling) polling = setInterval(refresh, POLL_MS);
  };
  // Curves and ages grow also when nothing happens.
  setInterval(function () { if (!document.hidden) refresh(); }, 60000);
  document.addEventListener("visibilitychange", function () { if (!document.hidden) refresh(); });
})();
