// Check-ins that wait on this phone until the service has them. Used by the page and by the service worker.
// Each has a key: sending it twice is one check-in, so nothing here needs to know whether an answer was lost.
var Outbox = (function () {
  "use strict";
  var NAME = "sealwatch", STORE = "outbox";
  function opened() {
    return new Promise(function (ok, no) {
      var request = indexedDB.open(NAME, 1);
      request.onupgradeneeded = function () { request.result.createObjectStore(STORE, { keyPath: "key" }); };
      request.onsuccess = function () { ok(request.result); };
      request.onerror = function () { no(request.error); };
    });
  }
  function within(mode, work) {
    return opened().then(function (database) {
      return new Promise(function (ok, no) {
        var transaction = database.transaction(STORE, mode), request = work(transaction.objectStore(STORE));
        transaction.oncomplete = function () { database.close(); ok(request.result); };
        transaction.onerror = transaction.onabort = function () { database.close(); no(transaction.error); };
      });
    });
  }
  function put(item) { return within("readwrite", function (store) { return store.put(item); }); }
  function all() { return within("readonly", function (store) { return store.getAll(); }); }
  function remove(key) { return within("readwrite", function (store) { return store.delete(key); }); }

  // "sent", "later" (no network, or the service is busy), "login", or "refused <status>".
  function send(item) {
    var form = new FormData();
    Object.keys(item.fields).forEach(function (name) { form.append(name, item.fields[name]); });
    if (item.photo) form.append("photo", item.photo, "photo.jpg");
    return fetch(item.url, { method: "POST", body: form, credentials: "same-origin", redirect: "manual", headers: { Accept: "application/json" } })
      .then(function (response) {
        if (response.ok) return "sent";
        if (response.status === 401 || response.status === 403) return item.url.indexOf("/a/") === 0 ? "refused " + response.status : "login";
        if (response.status === 408 || response.status === 429 || response.status >= 500 || response.status === 0) return "later";
        return "refused " + response.status;
      }, function () { return "later"; });
  }
  // Sends what waits, the oldest first; the outcomes by key.
  function flush(prepare) {
    return all().then(function (items) {
      var outcomes = {};
      items.sort(function (a, b) { return a.fields.taken_at_ms - b.fields.taken_at_ms; });
      return items.reduce(function (before, item) {
        return before.then(function () {
          if (item.refused || item.draft) { outcomes[item.key] = item.refused || "later"; return null; }
          if (prepare) prepare(item);
          return send(item).then(function (outcome) {
            outcomes[item.key] = outcome;
            if (outcome === "sent") return remove(item.key);
            if (outcome.indexOf("refused") === 0) { item.refused = outcome; return put(item); }
            return null;
          });
        });
      }, Promise.resolve()).then(function () { return outcomes; });
    });
  }
  return { put: put, all: all, flush: flush, send: send };
})();
