// The controls of the status page. All else works without it.
"use strict";
(() => {
  const TOKEN = "idcsync-token", NAME = "idcsync-name", SAID = "idcsync-said";
  const by = (id) => document.getElementById(id);
  const value = (id) => (by(id) ? by(id).value.trim() : "");
  const field = by("token");

  function say(text, wrong) {
    const place = by("said");
    if (!place) return;
    place.textContent = text;
    place.classList.toggle("wrong", Boolean(wrong));
    if (wrong) place.scrollIntoView({ block: "center" });
  }

  // What was done is said on the page that shows it.
  function again(text) {
    sessionStorage.setItem(SAID, text);
    location.assign("/");
  }

  function token() {
    const given = field && field.value.trim();
    if (given) sessionStorage.setItem(TOKEN, given);
    return sessionStorage.getItem(TOKEN) || "";
  }

  async function send(path, body, done) {
    const bearer = token();
    if (!bearer) {
      if (field) field.focus();
      else return location.assign("/#control");
      return say("Type the token first.", true);
    }
    try {
      const answer = await fetch(path, {
        method: "POST",
        credentials: "omit",
        headers: { Authorization: "Bearer " + bearer, "Content-Type": "application/json" },
        body: JSON.stringify(body),
      });
      const said = await answer.json();
      if (answer.ok) return again(done(said));
      if (answer.status === 401) sessionStorage.removeItem(TOKEN);
      say("Not done: " + (said.error || answer.status), true);
    } catch (error) {
      say("Not done: the service does not answer (" + error.message + ").", true);
    }
  }

  // The name is asked for on one page and belongs to what is done on the others too.
  function named(body) {
    if (by("by")) sessionStorage.setItem(NAME, value("by"));
    const name = sessionStorage.getItem(NAME);
    return name ? { ...body, by: name } : body;
  }

  const deeds = {
    pause: () => send("/api/pause", named({ reason: value("reason"), until: value("until") }), () => "Paused."),
    resume: () => send("/api/resume", {}, () => "Resumed."),
    sync: () => send("/api/sync", {}, () => "A cycle has been asked for. Load the page again to see how it goes."),
    approve: (button) => {
      if (!confirm(button.dataset.ask)) return;
      const count = (said) => said.steps.length;
      return send("/api/approve", named({ plan: button.dataset.plan, seal: button.dataset.seal }), (said) =>
        "Approved until " + said.approvedUntil + ": " + count(said) + (count(said) === 1 ? " step." : " steps."));
    },
    forget: () => {
      sessionStorage.removeItem(TOKEN);
      sessionStorage.removeItem(NAME);
      field.value = "";
      by("by").value = "";
      say("The token is forgotten.");
    },
  };

  for (const part of document.querySelectorAll("[data-needs-script]")) part.hidden = false;
  for (const part of document.querySelectorAll("[data-without-script]")) part.hidden = true;
  for (const button of document.querySelectorAll("[data-do]")) {
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        await deeds[button.dataset.do](button);
      } finally {
        button.disabled = false;
      }
    });
  }
  for (const form of document.querySelectorAll("form[data-needs-script]")) {
    form.addEventListener("submit", (event) => event.preventDefault());
  }
  if (field && sessionStorage.getItem(TOKEN)) field.value = sessionStorage.getItem(TOKEN);
  if (by("by")) {
    by("by").value = sessionStorage.getItem(NAME) || "";
    by("by").addEventListener("change", () => sessionStorage.setItem(NAME, value("by")));
  }
  const said = sessionStorage.getItem(SAID);
  if (said && by("said")) {
    sessionStorage.removeItem(SAID);
    say(said);
  }
})();
