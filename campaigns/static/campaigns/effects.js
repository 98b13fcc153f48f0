// Asks what saving would do, a moment after something in the form has changed. The server answers; nothing is saved.
(() => {
  "use strict";

  const PAUSE_MS = 400;

  /** What a form would send, the token of the session and what the script itself has added left out. */
  function contentOf(form) {
    const fields = [...new FormData(form)].filter(([name]) => name !== "csrfmiddlewaretoken");
    return JSON.stringify(fields.map(([name, value]) => [name, String(value)]));
  }

  /** Whether somebody has typed before this script came to look: a form that htmx has just put here may be filled. */
  function typedIn(form) {
    return [...form.elements].some(({ type, value, defaultValue }) => type === "text" && value !== defaultValue);
  }

  function watch(area) {
    const form = area.closest("form");
    const untouched = typedIn(form) ? "" : contentOf(form);
    let last = untouched;
    let timer = 0;
    const gone = new AbortController();

    function look() {
      if (!area.isConnected) return gone.abort();
      const content = contentOf(form);
      if (content === last) return undefined;
      last = content;
      if (content === untouched) area.replaceChildren();
      return htmx.trigger(area, content === untouched ? "htmx:abort" : "bm-try");
    }

    function soon() {
      clearTimeout(timer);
      timer = setTimeout(look, PAUSE_MS);
    }

    // Some fields are filled in by scripts that tell nobody, such as the calendar's: a click or a new focus is a hint.
    const signal = gone.signal;
    for (const name of ["input", "change", "focusin", "focusout"]) form.addEventListener(name, soon, { signal });
    document.addEventListener("click", soon, { signal });
    soon();
  }

  /** Say that the effect can't be told: what stands there is of other values. */
  function failed({ target, detail }) {
    if (!(target instanceof Element) || !target.hasAttribute("data-bm-effect")) return;
    const told = detail.xhr && detail.xhr.status === 401 ? detail.xhr.responseText : "";
    const line = document.createElement("p");
    line.className = "bm-effect-lines";
    line.textContent = told || "What saving would do can't be told right now.";
    target.replaceChildren(line);
  }

  function watchAll(root) {
    root.querySelectorAll("[data-bm-effect]:not([data-bm-watched])").forEach((area) => {
      area.setAttribute("data-bm-watched", "");
      watch(area);
    });
  }

  for (const name of ["htmx:responseError", "htmx:sendError"]) document.addEventListener(name, failed);
  document.addEventListener("DOMContentLoaded", () => setTimeout(() => watchAll(document), 0)); // after the other scripts
  document.addEventListener("htmx:load", ({ target }) => watchAll(target));
})();
