/** Asks the visitor for the API key. */

const dialog = document.getElementById("key-dialog");

/** @param wasWrong: whether one was given before. @returns the key, or null. */
export function askKey(wasWrong) {
  document.getElementById("key-text").textContent = wasWrong
    ? "The server does not know that key."
    : "This server wants one.";
  const field = document.getElementById("key");
  field.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "given" ? field.value : null), {
      once: true,
    });
  });
}
