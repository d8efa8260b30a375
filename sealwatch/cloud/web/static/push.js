// Pages as notifications on this browser: asked for by a press, taken back on the same page by a plain form.
(function () {
  "use strict";
  var button = document.getElementById("push-on"), line = document.getElementById("push-said");
  if (!button) return;
  var said = button.dataset;
  function show(words) { line.hidden = !words; line.textContent = words || ""; }
  if (!("serviceWorker" in navigator) || !("PushManager" in window) || !window.Notification || !window.crypto || !crypto.subtle) {
    show(said.unable);
    return;
  }
  function bytes(text) {
    var raw = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
    return Uint8Array.from(raw, function (c) { return c.charCodeAt(0); });
  }
  function name(subscription) {
    return crypto.subtle.digest("SHA-256", new TextEncoder().encode(subscription.endpoint)).then(function (digest) {
      return Array.prototype.map.call(new Uint8Array(digest), function (b) { return ("0" + b.toString(16)).slice(-2); }).join("");
    });
  }
  function sameKey(subscription) {
    var used = subscription.options && subscription.options.applicationServerKey, wanted = bytes(said.key);
    if (!used) return true; // an old browser does not say
    used = new Uint8Array(used);
    return used.length === wanted.length && wanted.every(function (b, i) { return b === used[i]; });
  }
  // What the server has of this browser: true, or false where it has to be asked for (again).
  function known(subscription) {
    if (!subscription || !sameKey(subscription)) return Promise.resolve(false);
    return name(subscription).then(function (id) {
      var entry = document.getElementById("push-" + id);
      if (entry) entry.querySelector("[data-this]").hidden = false;
      return !!entry;
    });
  }
  function send(subscription) {
    return fetch("/api/v1/push-subscriptions", {
      method: "POST", credentials: "same-origin", headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify(subscription)
    }).then(function (answer) {
      if (answer.ok) return null;
      return answer.json().then(function (problem) { throw new Error(problem.detail || String(answer.status)); });
    });
  }
  function subscribe(registration) {
    var options = { userVisibleOnly: true, applicationServerKey: bytes(said.key) };
    return registration.pushManager.getSubscription().then(function (old) {
      return old && !sameKey(old) ? old.unsubscribe() : null;
    }).then(function () { return registration.pushManager.subscribe(options); }).then(send);
  }
  navigator.serviceWorker.register("/sw.js").then(function () { return navigator.serviceWorker.ready; }).then(function (registration) {
    return registration.pushManager.getSubscription().then(known).then(function (on) {
      if (on) { show(said.on); return; }
      button.hidden = false;
      button.addEventListener("click", function () {
        button.disabled = true;
        Notification.requestPermission().then(function (answer) {
          if (answer !== "granted") { show(said.denied); return null; }
          return subscribe(registration).then(function () { location.reload(); });
        }).catch(function (error) { show(said.failed.replace("{reason}", error.message)); }).then(function () { button.disabled = false; });
      });
    });
  }).catch(function () { show(said.unable); });
})();
