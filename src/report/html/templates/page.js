// Keeps an open page up to date: asks whether the store has changed, and takes over the sections that read otherwise.
// The page works without it. Nothing that is focused, selected or opened is touched.
(() => {
  "use strict";
  const PERIOD = 5000;
  const main = document.getElementById("main");
  const fresh = document.getElementById("fresh");
  const said = document.getElementById("fresh-said");
  const pause = document.getElementById("fresh-pause");
  if (!main || !fresh || !said || !pause) return;
  let etag = null;
  let paused = false;
  fresh.hidden = false;

  const clock = () => new Date().toISOString().slice(11, 19);
  const busy = (section) =>
    section.contains(document.activeElement) && document.activeElement !== document.body ||
    section.querySelector("details[open]") !== null ||
    section.contains(document.getSelection()?.anchorNode ?? null) && !document.getSelection().isCollapsed;

  const takeOver = (text) => {
    const other = new DOMParser().parseFromString(text, "text/html");
    const names = (root) => [...root.querySelectorAll(".sections > section[id]")].map((section) => section.id).join(" ");
    const lead = document.querySelector(".lead-line");
    const newLead = other.querySelector(".lead-line");
    if (lead && newLead && lead.textContent !== newLead.textContent) lead.textContent = newLead.textContent;
    if (names(document) !== names(other)) {
      const [mine, theirs] = [main.querySelector(".sections"), other.querySelector(".sections")];
      if (mine && theirs && !busy(mine)) mine.replaceWith(theirs);
      return;
    }
    for (const section of document.querySelectorAll(".sections > section[id]")) {
      const theirs = other.getElementById(section.id);
      if (!theirs || theirs.innerHTML === section.innerHTML || busy(section)) continue;
      theirs.classList.add("fresh-now");
      section.replaceWith(theirs);
    }
  };

  const ask = async () => {
    if (paused || document.hidden) return;
    try {
      const headers = etag ? { "If-None-Match": etag } : {};
      const state = await fetch("/api/state", { headers, cache: "no-store", redirect: "error" });
      if (state.status === 401) { said.textContent = "signed out"; return; }
      if (state.ok) {
        const first = etag === null;
        etag = state.headers.get("ETag");
        if (!first) {
          const page = await fetch(location.href, { cache: "no-store", redirect: "error" });
          if (page.ok) takeOver(await page.text());
        }
      }
      said.textContent = "up to date at " + clock() + " UTC";
    } catch {
      said.textContent = "no answer since " + clock() + " UTC";
    }
  };

  pause.addEventListener("click", () => {
    paused = !paused;
    pause.textContent = paused ? "Go on" : "Pause";
    pause.setAttribute("aria-pressed", String(paused));
    said.textContent = paused ? "paused" : "";
    if (!paused) ask();
  });
  document.addEventListener("visibilitychange", ask);
  setInterval(ask, PERIOD);
  ask();
})();
