/* Says when a page that refreshes itself can't, and lets one rest that is in the background or being edited. */
(function () {
  "use strict";

  function say(state) {
    document.querySelectorAll("[data-live-state]").forEach(function (place) {
      place.hidden = place.dataset.liveState !== state;
    });
  }

  // Not the target of the event: by the time of an answer the part has been replaced.
  function isLive(event) {
    var asked = event.detail.requestConfig && event.detail.requestConfig.elt;
    return Boolean(asked) && asked.id === "live";
  }

  document.addEventListener("htmx:beforeRequest", function (event) {
    // A page whose budgets are being edited must not lead away to the login, and needs no new figures.
    if (isLive(event) && (document.hidden || document.querySelector("form#bm-budgets"))) event.preventDefault();
  });
  document.addEventListener("htmx:sendError", function () {
    say("lost"); // whatever was asked: a page that says it is fresh would hide that nothing gets through
  });
  document.addEventListener("htmx:afterRequest", function (event) {
    if (isLive(event)) say(event.detail.successful ? "live" : "lost");
  });
})();
