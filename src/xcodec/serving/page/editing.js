/** The section where a clip's codes are changed. */

const LOWEST_RATE = 0.001; // of bits that are flipped, at the left end of the slider
const HIGHEST_RATE = 0.5;
const byId = (id) => document.getElementById(id);

export class Editing extends EventTarget {
  #clip = null;
  #clips = [];

  /** It dispatches "change" with what gives the clips that are to change, each with its versions to be. */
  constructor() {
    super();
    byId("flip-rate").addEventListener("input", () => this.#showRate());
    byId("flip").addEventListener("click", () => {
      const rate = this.#rate;
      this.#change((clip) => clip.with(clip.codes.withBitsFlipped(rate)));
    });
    byId("drop-codebook").addEventListener("click", () => {
      this.#change((clip) => clip.with(clip.codes.withoutLastCodebook()));
    });
    byId("undo").addEventListener("click", () => this.#change((clip) => clip.withoutLast()));
    byId("restore").addEventListener("click", () => this.#change((clip) => clip.withoutAny()));
    byId("swap").addEventListener("click", () => this.#swap());
    this.#showRate();
  }

  /** @param clips: all of them, with which halves may be swapped. */
  show(clip, clips) {
    const isOther = clip !== this.#clip;
    this.#clip = clip;
    this.#clips = clips.filter((each) => each !== clip && each.codec === clip.codec);
    byId("edit").hidden = byId("save").hidden = false;
    const { levels } = clip.codec;
    byId("digit-tool").hidden = !levels;
    byId("codebook-tool").hidden = clip.encoded.ids.length === 1;
    byId("codebook-label").textContent = `Codebooks: ${clip.codes.ids.length} of ${clip.encoded.ids.length}`;
    byId("drop-codebook").disabled = clip.codes.ids.length === 1;
    if (isOther || byId("digits").childElementCount !== (levels?.length ?? 0)) this.#makeDigits(levels ?? []);
    const other = byId("other-clip");
    const chosen = other.selectedIndex;
    other.replaceChildren(...this.#clips.map((each, i) => new Option(each.name, i)));
    if (!this.#clips.length) other.add(new Option("another recording", ""));
    other.selectedIndex = Math.max(0, Math.min(chosen, other.options.length - 1));
    other.disabled = byId("swap").disabled = !this.#clips.length;
    byId("undo").disabled = byId("restore").disabled = !clip.isChanged;
    const changed = clip.codes.differencesFrom(clip.encoded);
    const all = clip.encoded.ids.length * clip.encoded.frames;
    byId("changes").textContent = clip.isChanged ? `${changed} of ${all} codes changed.` : "";
    byId("save-original").disabled = !clip.recording.samples;
  }

  get #rate() {
    const place = Number(byId("flip-rate").value) / 100;
    return LOWEST_RATE * (HIGHEST_RATE / LOWEST_RATE) ** place;
  }

  #showRate() {
    const text = `${(100 * this.#rate).toPrecision(2)} % of them`;
    byId("flip-rate-text").textContent = text;
    byId("flip-rate").setAttribute("aria-valuetext", text);
  }

  #makeDigits(levels) {
    const buttons = levels.map((_, digit) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = digit + 1;
      button.setAttribute("aria-label", `Hold digit ${digit + 1}`);
      button.addEventListener("click", () => {
        this.#change((clip) => clip.with(clip.codes.withDigitHeld(digit, levels)));
      });
      return button;
    });
    byId("digits").replaceChildren(...buttons);
  }

  #swap() {
    const [clip, other] = [this.#clip, this.#clips[Number(byId("other-clip").value)]];
    this.#tell(() => {
      const [mine, theirs] = [clip.codes, other.codes];
      if (mine.ids.length !== theirs.ids.length) {
        throw new Error("The two recordings have different numbers of codebooks.");
      }
      return [
        [clip, clip.with(mine.withSecondHalfOf(theirs))],
        [other, other.with(theirs.withSecondHalfOf(mine))],
      ];
    });
  }

  #change(versionsOf) {
    const clip = this.#clip;
    this.#tell(() => [[clip, versionsOf(clip)]]);
  }

  #tell(changes) {
    this.dispatchEvent(new CustomEvent("change", { detail: changes }));
  }
}
