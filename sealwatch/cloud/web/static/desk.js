// The duty desk: keys, and a sound while a red incident is unanswered. The sound is stopped for one incident at a time.
(function () {
  "use strict";
  var EVERY_MS = 3000, MUTED = "sealwatch-muted";
  var status = document.getElementById("sound"), audio = null;

  function muted() { try { return JSON.parse(sessionStorage.getItem(MUTED) || "[]"); } catch (error) { return []; } }
  function cards() { return Array.prototype.slice.call(document.querySelectorAll("#open a.card")); }
  function current() { return document.querySelector('#open a.card[aria-current="true"]'); }
  function calling() {
    var silent = muted();
    return Array.prototype.filter.call(document.querySelectorAll("#open [data-red]"), function (e) { return silent.indexOf(e.dataset.red) < 0; });
  }
  function beep() {
    [0, 0.28].forEach(function (at) {
      var tone = audio.createOscillator(), volume = audio.createGain(), from = audio.currentTime + at;
      tone.frequency.value = 880;
      volume.gain.setValueAtTime(0.0001, from);
      volume.gain.exponentialRampToValueAtTime(0.4, from + 0.02);
      volume.gain.exponentialRampToValueAtTime(0.0001, from + 0.22);
      tone.connect(volume).connect(audio.destination);
      tone.start(from);
      tone.stop(from + 0.25);
    });
  }
  function ready() { return audio !== null && audio.state === "running"; }
  function unlock() {
    var Context = window.AudioContext || window.webkitAudioContext;
    if (!Context) return;
    if (!audio) audio = new Context();
    if (audio.state === "suspended") audio.resume().then(show, show);
    show();
  }
  function show() {
    var silent = muted();
    status.textContent = ready() ? status.dataset.on : status.dataset.off;
    status.hidden = false;
    status.classList.toggle("notice", !ready());
    document.querySelectorAll("#open [data-red]").forEach(function (e) {
      var is = silent.indexOf(e.dataset.red) >= 0;
      e.hidden = false;
      e.disabled = is;
      e.textContent = is ? e.dataset.muted : e.dataset.mute;
    });
  }
  setInterval(function () { if (ready() && calling().length) beep(); }, EVERY_MS);
  document.addEventListener("sealwatch:exchanged", show);
  document.addEventListener("pointerdown", unlock);

  document.addEventListener("click", function (event) {
    var button = event.target.closest && event.target.closest("[data-red]");
    if (button) {
      sessionStorage.setItem(MUTED, JSON.stringify(muted().concat(button.dataset.red)));
      show();
      return;
    }
    var card = event.target.closest && event.target.closest("#open a.card");
    if (card && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) { event.preventDefault(); choose(card); }
  });

  // Another choice is another address: the page fetches itself anew there, so that nothing is lost, the sound neither.
  function choose(card) {
    document.querySelectorAll("#chosen form").forEach(function (form) { form.reset(); });
    cards().forEach(function (c) { c.removeAttribute("aria-current"); });
    card.setAttribute("aria-current", "true");
    card.focus({ preventScroll: false });
    history.replaceState(null, "", card.getAttribute("href"));
    document.dispatchEvent(new Event("sealwatch:refresh"));
  }
  function move(by) {
    var all = cards(), at = all.indexOf(current()), next = all[Math.max(0, Math.min(all.length - 1, at + by))];
    if (next && next !== current()) choose(next);
  }
  document.addEventListener("keydown", function (event) {
    unlock();
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
    if (event.key === "j") move(1);
    else if (event.key === "k") move(-1);
    else if (event.key === "a") { var button = document.getElementById("acknowledge"); if (button) button.click(); }
    else if (event.key === "/") { var field = document.getElementById("search"); if (field) { event.preventDefault(); field.focus(); } }
  });
  show();
})();
