// Live updates: fetches the marked part of the page again while the page is visible. Everything
// else works without this script.
"use strict";

(() => {
  const part = document.querySelector("[data-live]");
  if (!part) {
    return;
  }
  const seconds = 5;
  const name = part.dataset.live;
  const control = document.createElement("label");
  control.className = "live check";
  const box = document.createElement("input");
  box.type = "checkbox";
  const said = document.createElement("span");
  said.setAttribute("role", "status");
  control.append(box, " live updates ", said);
  part.before(control);

  let timer = 0;

  // Do not replace the part while it has the focus or something in it is unfolded.
  const isBusy = (shown) =>
    document.hidden || shown.contains(document.activeElement) || shown.querySelector("details[open]");

  const update = async () => {
    const shown = document.querySelector(`[data-live="${name}"]`);
    if (shown && !isBusy(shown)) {
      try {
        const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
        if (!answer.ok) {
          throw new Error(answer.statusText);
        }
        const fetched = new DOMParser().parseFromString(await answer.text(), "text/html");
        const fresh = fetched.querySelector(`[data-live="${name}"]`);
        if (fresh && box.checked && !isBusy(shown)) {
          shown.replaceWith(document.adoptNode(fresh));
        }
        said.textContent = "";
      } catch {
        said.textContent = "– the server does not answer";
      }
    }
    if (box.checked) {
      timer = setTimeout(update, seconds * 1000);
    }
  };

  box.addEventListener("change", () => {
    clearTimeout(timer);
    said.textContent = "";
    if (box.checked) {
      update();
    }
  });
})();
