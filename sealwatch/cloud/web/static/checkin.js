// The check-in form: keeps position, picture and time on the phone first, then sends. Without this file it is a form.
(function () {
  "use strict";
  var region = document.getElementById("outbox");
  if (!region || !window.indexedDB || !window.fetch || !window.Promise) return;
  var said = region.dataset, MOST_PX = 1600, LOCATE_MS = 8000, RETRY_MS = 20000;
  if ("serviceWorker" in navigator) {
    // This very page is to be readable without network, not only the next one: fetch it once through the worker.
    navigator.serviceWorker.addEventListener("controllerchange", function () { document.dispatchEvent(new Event("sealwatch:refresh")); });
    navigator.serviceWorker.register("/sw.js").then(function () { return navigator.serviceWorker.ready; }).then(function (registration) {
      if (!navigator.serviceWorker.controller) registration.active.postMessage("claim");
    }).catch(function () { /* plain page then */ });
  }

  function scripted() {
    document.querySelectorAll("[data-plain]").forEach(function (e) { e.hidden = true; });
    document.querySelectorAll("[data-scripted]").forEach(function (e) { e.hidden = false; });
  }
  scripted();
  function show(words) { region.hidden = !words; region.textContent = words || ""; }
  function newKey() {
    var bytes = crypto.getRandomValues(new Uint8Array(16));
    return Array.prototype.map.call(bytes, function (b) { return ("0" + b.toString(16)).slice(-2); }).join("");
  }
  function smaller(file) {
    if (!file || !window.createImageBitmap) return Promise.resolve(file || null);
    return createImageBitmap(file).then(function (bitmap) {
      var scale = Math.min(1, MOST_PX / Math.max(bitmap.width, bitmap.height)), canvas = document.createElement("canvas");
      canvas.width = Math.round(bitmap.width * scale);
      canvas.height = Math.round(bitmap.height * scale);
      canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
      return new Promise(function (ok) { canvas.toBlob(function (blob) { ok(blob || file); }, "image/jpeg", 0.8); });
    }).catch(function () { return file; });
  }
  function position() {
    return new Promise(function (ok) {
      if (!navigator.geolocation) { ok(null); return; }
      var options = { enableHighAccuracy: true, timeout: LOCATE_MS, maximumAge: 30000 };
      navigator.geolocation.getCurrentPosition(function (found) { ok(found.coords); }, function () { ok(null); }, options);
    });
  }
  // A form's token may have grown old while the check-in waited: the open page has a fresh one.
  function renew(item) {
    var fresh = document.querySelector("form[data-outbox] input[type=hidden]");
    if (fresh && fresh.name in item.fields) item.fields[fresh.name] = fresh.value;
  }
  function tell(outcomes) {
    var values = Object.keys(outcomes).map(function (key) { return outcomes[key]; });
    function count(word) { return values.filter(function (value) { return value.indexOf(word) === 0; }); }
    if (count("refused").length) show(said.refused.replace("{reason}", count("refused")[0].replace("refused ", "")));
    else if (count("login").length) show(said.login.replace("{n}", count("login").length));
    else if (count("later").length) show(said.kept.replace("{n}", count("later").length));
    else if (values.length || waiting) { show(said.sent); document.dispatchEvent(new Event("sealwatch:refresh")); }
    waiting = count("later").length > 0;
  }
  var busy = false, waiting = false; // waiting: the service worker may be the one that sends it
  function flush() {
    if (busy) return Promise.resolve();
    busy = true;
    return Outbox.flush(renew).then(tell).catch(function () { /* the next try tells */ }).then(function () { busy = false; });
  }
  function whenever() {
    if (!("serviceWorker" in navigator)) return;
    navigator.serviceWorker.ready.then(function (worker) { if (worker.sync) return worker.sync.register("outbox"); return null; }).catch(function () { /* the page itself tries */ });
  }
  document.addEventListener("submit", function (event) {
    var form = event.target;
    if (!form.matches || !form.matches("form[data-outbox]")) return;
    event.preventDefault();
    var item = { key: newKey(), url: form.getAttribute("action"), fields: {}, photo: null, draft: false }, file = form.querySelector("input[type=file]");
    form.querySelectorAll("input[type=hidden]").forEach(function (field) { item.fields[field.name] = field.value; });
    item.fields.key = item.key;
    item.fields.taken_at_ms = String(Date.now());
    form.querySelectorAll("button").forEach(function (b) { b.disabled = true; });
    show(said.locating);
    smaller(file && file.files[0]).then(function (photo) {
      item.photo = photo;
      return Outbox.put(item); // before anything that may take time: the phone may be put away now
    }).then(position).then(function (coords) {
      if (coords) {
        item.fields.latitude_deg = String(coords.latitude);
        item.fields.longitude_deg = String(coords.longitude);
        item.fields.accuracy_m = String(coords.accuracy);
      }
      return Outbox.put(item);
    }).then(function () {
      form.reset();
      form.closest("details").open = false;
      show(said.sending);
      whenever();
      return flush();
    }).catch(function () { show(said.noStore); form.submit(); }).then(function () {
      form.querySelectorAll("button").forEach(function (b) { b.disabled = false; });
    });
  });
  window.addEventListener("online", flush);
  if ("serviceWorker" in navigator) navigator.serviceWorker.addEventListener("message", flush);
  setInterval(function () { Outbox.all().then(function (items) { if (waiting || items.some(function (i) { return !i.refused; })) flush(); }).catch(function () {}); }, RETRY_MS);
  document.addEventListener("sealwatch:exchanged", scripted);
  flush();
})();
