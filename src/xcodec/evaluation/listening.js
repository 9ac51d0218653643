/** Blind listening tests in the report: A/B/X, and a MUSHRA sheet. Player and page.js stand above. */

const ANCHOR = 3500; // Hz: what ITU-R BS.1534 cuts its low anchor off at
const GRADES = ["bad", "poor", "fair", "good", "excellent"]; // of 20 points each

/** The clips that are heard in tests: what is on the page, by system. */
const clips = [...document.querySelectorAll(".example")].map((example) => ({
  name: example.dataset.clip,
  seconds: Number(example.dataset.seconds),
  audio: new Map([...example.querySelectorAll("figure")].map((card) => [card.dataset.name, card.querySelector("audio")])),
}));

function shuffled(items) {
  const order = [...items];
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

/** One kind of test: a form that begins it, steps that are heard one after the other, and a result that is saved. */
class Test {
  constructor(section) {
    this.section = section;
    this.form = section.querySelector("form");
    this.running = section.querySelector(".running");
    this.result = section.querySelector(".result");
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.started = new Date().toISOString();
      this.form.hidden = this.result.hidden = true;
      this.running.hidden = false;
      this.begin();
    });
    section.querySelector(".again").addEventListener("click", () => {
      this.result.hidden = true;
      this.form.hidden = false;
    });
    this.running.addEventListener("keydown", (event) => this.transport.press(event) || this.press(event));
  }

  /** Put a new transport in, and have the keyboard speak to it. */
  hear(labels, keys, seconds, load) {
    this.transport?.player.pause();
    this.transport?.element.remove();
    this.transport = new Transport(labels, keys, seconds, load);
    this.running.querySelector(".progress").after(this.transport.element);
    this.running.focus();
  }

  progress(what, step, steps) {
    this.running.querySelector(".progress").textContent = `${what} ${step} of ${steps}`;
  }

  press() {}

  /** Show what came of it, and offer it as a file. */
  finish(format, text, facts) {
    this.transport.player.pause();
    this.running.hidden = true;
    this.result.hidden = false;
    this.result.querySelector("p").textContent = text;
    const told = { format, page: document.title, started: this.started, finished: new Date().toISOString(), ...facts };
    const link = this.result.querySelector("a");
    URL.revokeObjectURL(link.href);
    link.href = URL.createObjectURL(new Blob([JSON.stringify(told, null, 2)], { type: "application/json" }));
    link.focus();
  }
}

/** A, B, and X, which is one of them: can it be heard which? */
class ABX extends Test {
  begin() {
    [this.first, this.second] = [this.form.elements.first.value, this.form.elements.second.value];
    this.count = Number(this.form.elements.trials.value);
    this.trials = [];
    this.usable = clips.filter(({ audio }) => audio.has(this.first) && audio.has(this.second));
    this.next();
  }

  next() {
    if (!this.order?.length) this.order = shuffled(this.usable); // each clip once before any a second time
    const clip = this.order.pop();
    const sides = shuffled([this.first, this.second]);
    const x = sides[Math.floor(2 * Math.random())];
    this.trial = { clip: clip.name, a: sides[0], b: sides[1], x };
    this.since = performance.now();
    this.progress("Trial", this.trials.length + 1, this.count);
    this.hear(["A", "B", "X"], ["a", "b", "x"], clip.seconds, () =>
      Promise.all([...sides, x].map((name) => decoded(clip.audio.get(name)))),
    );
  }

  answer(side) {
    const answer = this.trial[side];
    const seconds = (performance.now() - this.since) / 1000;
    this.trials.push({ ...this.trial, answer, correct: answer === this.trial.x, seconds });
    if (this.trials.length < this.count) return this.next();
    this.order = null;
    const correct = this.trials.filter((trial) => trial.correct).length;
    const chance = atLeast(correct, this.count);
    this.finish(
      "xcodec.abx",
      `${correct} of ${this.count} right. By guessing alone, that many or more have a probability of ${chance.toFixed(3)}.`,
      { first: this.first, second: this.second, correct, probability_by_chance: chance, trials: this.trials },
    );
  }

  press(event) {
    const side = { 1: "a", 2: "b" }[event.key];
    if (side && !event.ctrlKey && !event.metaKey && !event.altKey) this.answer(side);
  }
}

/** The probability of so many or more heads in a number of tosses. */
function atLeast(heads, tosses) {
  let [ways, sum] = [1, 0];
  for (let k = 0; k <= tosses; k++) {
    if (k >= heads) sum += ways;
    ways *= (tosses - k) / (k + 1);
  }
  return sum / 2 ** tosses;
}

/** Each clip by all systems, a hidden recording and a low anchor among them, graded from 0 to 100. */
class Mushra extends Test {
  begin() {
    this.sheets = [];
    this.left = shuffled(clips);
    this.next();
  }

  next() {
    const clip = this.left.pop();
    const names = shuffled([...clip.audio.keys(), "anchor"]);
    this.sheet = { clip: clip.name, order: names };
    this.progress("Clip", this.sheets.length + 1, clips.length);
    this.hear(
      ["reference", ...names.map((_, i) => String(i + 1))],
      ["r", ...names.slice(0, 9).map((_, i) => String(i + 1))],
      clip.seconds,
      async () => {
        const buffers = new Map(
          await Promise.all([...clip.audio].map(async ([name, audio]) => [name, await decoded(audio)])),
        );
        const recording = buffers.get("recording");
        buffers.set("anchor", await lowPassed(recording));
        return [recording, ...names.map((name) => buffers.get(name))];
      },
    );
    const sliders = this.running.querySelector(".sliders");
    sliders.replaceChildren(
      ...names.map((_, i) => {
        const label = document.createElement("label");
        label.innerHTML = `<b>${i + 1}</b><input type="range" min="0" max="100" value="50" class="untouched"><output></output>`;
        const [, slider, grade] = label.children;
        slider.addEventListener("input", () => {
          slider.classList.remove("untouched");
          const value = Number(slider.value);
          grade.textContent = `${value} ${GRADES[Math.min(4, Math.floor(value / 20))]}`;
          this.done.disabled = Boolean(sliders.querySelector(".untouched"));
        });
        slider.addEventListener("focus", () => this.transport.choose(i + 1));
        return label;
      }),
    );
    this.done ??= this.wireDone();
    this.done.disabled = true;
  }

  wireDone() {
    const done = this.running.querySelector(".done");
    done.addEventListener("click", () => this.grade());
    return done;
  }

  grade() {
    const values = [...this.running.querySelectorAll(".sliders input")].map((slider) => Number(slider.value));
    const scores = Object.fromEntries(this.sheet.order.map((name, i) => [name === "recording" ? "hidden_reference" : name, values[i]]));
    this.sheets.push({ ...this.sheet, scores });
    if (this.left.length) return this.next();
    // BS.1534 leaves a listener out who grades the hidden reference below 90 in more than 15% of the clips.
    const missed = this.sheets.filter((sheet) => sheet.scores.hidden_reference < 90).length;
    const reliable = missed <= 0.15 * this.sheets.length;
    const note = reliable ? "" : " ITU-R BS.1534 would leave this listener out: the hidden reference was graded below 90 too often.";
    this.finish("xcodec.mushra", `${this.sheets.length} clips graded.${note}`, {
      listener: this.form.elements.listener.value.trim(),
      reliable,
      clips: this.sheets,
    });
  }
}

/** A recording without what lies above 3.5 kHz. */
async function lowPassed(buffer) {
  const offline = new OfflineAudioContext(1, buffer.length, buffer.sampleRate);
  const source = new AudioBufferSourceNode(offline, { buffer });
  let last = source;
  for (let i = 0; i < 6; i++) {
    const filter = new BiquadFilterNode(offline, { type: "lowpass", frequency: ANCHOR, Q: 0 });
    last = last.connect(filter);
  }
  last.connect(offline.destination);
  source.start();
  return offline.startRendering();
}

for (const section of document.querySelectorAll(".tests")) {
  section.hidden = false;
  const abx = new ABX(section.querySelector(".abx"));
  for (const button of section.querySelectorAll("[data-answer]")) {
    button.addEventListener("click", () => abx.answer(button.dataset.answer));
  }
  const different = () =>
    abx.form.elements.second.setCustomValidity(
      abx.form.elements.first.value === abx.form.elements.second.value ? "Choose two that differ." : "",
    );
  abx.form.addEventListener("input", different);
  different();
  new Mushra(section.querySelector(".mushra"));
}
