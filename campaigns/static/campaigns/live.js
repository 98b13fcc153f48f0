/* Says when a page that refreshes itself can't, and lets one in the background rest. */
(function () {
  "use strict";

  function say(state) {
    document.querySelectorAll("[data-live-state]").forEach(function (place) {
      place.hidden = place.dataset.liveState !== state;
    });
  }

  function isLive(event) {
    return event.target instanceof Element && event.target.id === "live";
  }

  document.addEventListener("htmx:beforeRequest", function (event) {
    if (isLive(event) && document.hidden) event.preventDefault();
  });
  document.addEventListener("htmx:sendError", function (event) {
    if (isLive(event)) say("lost");
  });
  document.addEventListener("htmx:responseError", function (event) {
    if (isLive(event)) say("lost");
  });
  document.addEventListener("htmx:afterOnLoad", function (event) {
    if (isLive(event)) say("live");
  });
})();
