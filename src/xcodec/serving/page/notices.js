/** What the page says of itself: how things stand, and what went wrong. */

const alert = document.getElementById("alert");
const again = document.getElementById("again");
const dismiss = document.getElementById("dismiss");
const status = document.getElementById("status");
let retry = null;

dismiss.addEventListener("click", clearError);
again.addEventListener("click", () => {
  clearError();
  retry();
});

/** Say how things stand; screen readers tell it when they come to it. */
export function tell(text) {
  status.textContent = text;
}

/** Say what went wrong; screen readers tell it at once. @param tryAgain: what may be offered then. */
export function tellError(error, tryAgain = null) {
  if (error.name === "AbortError") return;
  retry = tryAgain;
  again.hidden = !tryAgain;
  dismiss.hidden = !again.hidden;
  alert.querySelector("p").textContent = error.message;
  alert.hidden = false;
  status.textContent = "";
}

export function clearError() {
  alert.hidden = true;
}
