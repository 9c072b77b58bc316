"use strict";
const EVERY_MS = 5000, live = "[data-live]";

function localTimes(root) {
  for (const time of root.querySelectorAll("time")) {
    const moment = new Date(time.dateTime), near = Date.now() - moment < 86400000 / 2;
    if (!isNaN(moment)) {
      time.title = time.textContent;
      time.textContent = moment.toLocaleString(undefined, near ? { timeStyle: "medium" } : { dateStyle: "medium", timeStyle: "short" });
    }
  }
}

function parsed(text) {
  const page = new DOMParser().parseFromString(text, "text/html");
  localTimes(page);
  return page;
}

async function renew() {
  const verdict = document.getElementById("verdict");
  try {
    const answer = await fetch(location.pathname + location.search, { headers: { Accept: "text/html" } });
    if (!answer.ok) throw new Error(answer.status === 401 ? "the login has ended: `make credentials` prints a new link" : `status ${answer.status}`);
    const page = parsed(await answer.text());
    for (const part of document.querySelectorAll(live)) {
      const fresh = page.getElementById(part.id);
      if (!fresh || fresh.innerHTML === part.innerHTML || part.contains(document.activeElement)) continue;
      const open = [...part.querySelectorAll("details")].map(details => details.open);
      part.replaceChildren(...fresh.childNodes);
      part.querySelectorAll("details").forEach((details, index) => { details.open = open[index] ?? details.open; });
    }
  } catch (error) {
    verdict.textContent = `The start page's server does not answer: ${error.message}`;
    verdict.className = "verdict failed";
  }
}

document.addEventListener("submit", async event => {
  event.preventDefault();
  const form = event.target, output = document.getElementById("prediction");
  output.classList.add("busy");
  try {
    const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) });
    const fresh = parsed(await answer.text()).getElementById("prediction");
    if (!fresh) throw new Error(`status ${answer.status}`);
    output.replaceChildren(...fresh.childNodes);
  } catch (error) {
    output.textContent = `The start page's server does not answer: ${error.message}`;
  }
  output.classList.remove("busy");
});

document.addEventListener("click", async event => {
  const button = event.target.closest("button[data-copies]");
  if (!button) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copies).textContent);
  const before = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = before; }, 1500);
});

for (const button of document.querySelectorAll("button[hidden]")) button.hidden = false;
localTimes(document);
setInterval(renew, EVERY_MS);
