/** What the page says of itself: how things stand, and what went wrong. */

const alert = document.getElementById("alert");
const status = document.getElementById("status");

alert.querySelector("button").addEventListener("click", clearError);

/** Say how things stand; screen readers tell it when they come to it. */
export function tell(text) {
  status.textContent = text;
}

/** Say what went wrong; screen readers tell it at once. */
export function tellError(error) {
  if (error.name === "AbortError") return;
  alert.querySelector("p").textContent = error.message;
  alert.hidden = false;
  status.textContent = "";
}

export function clearError() {
  alert.hidden = true;
}
