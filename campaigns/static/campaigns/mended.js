// Names that Unfold, Django and select2 leave out, without which a screen reader can't say where one is.
(() => {
  "use strict";

  /** Let the parts of a list that select2 has built say the label of its field, and then what is chosen. */
  function nameChoices(field) {
    const label = field.labels && field.labels[0];
    const built = field.nextElementSibling;
    if (!label || !built || !built.matches(".select2")) return;
    label.id = label.id || `${field.id}_label`;
    for (const search of built.querySelectorAll("[role=searchbox]")) search.setAttribute("aria-labelledby", label.id);
    for (const chosen of built.querySelectorAll("[role=textbox]")) {
      chosen.removeAttribute("role"); // it is read, never written into
      chosen.removeAttribute("aria-readonly");
      chosen.closest("[role=combobox]").setAttribute("aria-labelledby", `${label.id} ${chosen.id}`);
    }
  }

  function mend() {
    document.querySelectorAll("#content").forEach((content) => content.setAttribute("role", "main"));
    document.querySelectorAll("select.select2-hidden-accessible").forEach(nameChoices);
    // Unfold looks for its own parts beside each file field and fails where there are none: ours says that it was seen.
    document.querySelectorAll("input.bm-file").forEach((field) => { field.hasChangeListener = true; });
    // A label on a span says nothing unless the span is something.
    document.querySelectorAll("span.help-tooltip[aria-label]").forEach((hint) => hint.setAttribute("role", "img"));
  }

  // Django and select2 build theirs at some time after the document is read, and again where a form grows.
  document.addEventListener("DOMContentLoaded", () => {
    mend();
    new MutationObserver(mend).observe(document.body, { childList: true, subtree: true });
  });
})();
