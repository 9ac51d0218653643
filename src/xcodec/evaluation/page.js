/** What the report does beyond being read: tracks of a clip play in sync, tables sort, filters. Player stands above. */

const context = new AudioContext();
const players = [];

/** A button that plays, which of several tracks is heard, and where: the controls of a player. */
class Transport extends EventTarget {
  #load; // gives the buffers of all tracks, when they are first wanted
  #loaded = null;

  /**
   * @param {string[]} labels of the tracks.
   * @param {string[]} keys that choose them.
   * @param {number} seconds of the longest.
   * @param {() => Promise<AudioBuffer[]>} load
   */
  constructor(labels, keys, seconds, load) {
    super();
    this.#load = load;
    this.keys = keys;
    this.player = new Player(context);
    this.element = document.createElement("div");
    this.element.className = "transport";
    this.element.innerHTML = `
      <button type="button" class="play" aria-label="Play"><svg viewBox="0 0 24 24" aria-hidden="true"><path class="when-paused" d="M8 5v14l11-7z"/><path class="when-playing" d="M7 5h3.5v14H7zM13.5 5H17v14h-3.5z"/></svg></button>
      <fieldset class="switch"><legend class="unseen">Which is heard</legend></fieldset>
      <input type="range" class="position" min="0" max="${seconds}" step="0.01" value="0" aria-label="Position">
      <output class="time" aria-live="off"></output>`;
    [this.button, this.choices, this.position, this.time] = this.element.children;
    const group = `heard-${players.push(this.player)}`;
    this.radios = labels.map((text, i) => {
      const label = document.createElement("label");
      label.innerHTML = `<input type="radio" name="${group}" value="${i}"><span></span>`;
      const key = keys[i] && keys[i].toUpperCase() !== text ? Object.assign(document.createElement("kbd"), { textContent: keys[i] }) : "";
      label.lastChild.append(key, " ", text);
      this.choices.append(label);
      return label.firstChild;
    });
    this.radios[0].checked = true;
    this.seconds = seconds;
    this.player.addEventListener("change", () => this.show());
    this.button.addEventListener("click", () => this.toggle());
    this.radios.forEach((radio, i) => radio.addEventListener("change", () => this.choose(i)));
    this.position.addEventListener("input", () => this.seek(this.position.value));
    this.show();
  }

  /** Which track is heard. */
  get chosen() {
    return this.radios.findIndex((radio) => radio.checked);
  }

  async load() {
    this.#loaded ??= this.#load().then((buffers) => {
      buffers.forEach((buffer, i) => this.player.setTrack(String(i), buffer));
      this.player.choose(String(this.chosen));
      this.player.seek(Number(this.position.value));
    });
    await this.#loaded;
  }

  async toggle() {
    await this.load();
    for (const other of players) if (other !== this.player) other.pause();
    await this.player.toggle();
  }

  choose(i) {
    if (!this.radios[i] || this.radios[i].disabled) return;
    this.radios[i].checked = true;
    this.player.choose(String(i));
    this.show();
  }

  /** Hear the next one that can be chosen. */
  next() {
    const order = [...this.radios.keys()];
    const after = [...order.slice(this.chosen + 1), ...order.slice(0, this.chosen + 1)];
    this.choose(after.find((i) => !this.radios[i].disabled));
  }

  seek(to) {
    this.position.value = to;
    this.player.seek(Number(this.position.value));
    this.show();
  }

  /** Do what a key says; whether it said something. */
  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select, [type=search], [type=text], [type=number]")) return false;
    const i = this.keys.indexOf(event.key.toLowerCase());
    if (i >= 0) this.choose(i);
    else if (event.key === " " && !event.target.matches("button, summary")) this.toggle();
    else return false;
    event.preventDefault();
    return true;
  }

  show() {
    const { player, button, position } = this;
    const at = player.names.length ? player.time : Number(position.value);
    button.classList.toggle("playing", player.playing);
    button.setAttribute("aria-label", player.playing ? "Pause" : "Play");
    position.value = at;
    position.setAttribute("aria-valuetext", `${at.toFixed(1)} of ${this.seconds.toFixed(1)} seconds`);
    this.time.textContent = `${at.toFixed(1)} / ${this.seconds.toFixed(1)} s`;
    this.dispatchEvent(new Event("change"));
    if (player.playing) requestAnimationFrame(() => this.show());
  }
}

/** Put one player in place of those of a clip's cards. */
function install(example) {
  const cards = [...example.querySelectorAll("figure")];
  const transport = new Transport(
    cards.map((card) => card.dataset.name),
    cards.slice(0, 9).map((_, i) => String(i + 1)),
    Number(example.dataset.seconds),
    () => Promise.all(cards.map((card) => decoded(card.querySelector("audio")))),
  );
  const show = () => cards.forEach((card, i) => card.classList.toggle("heard", i === transport.chosen));
  transport.addEventListener("change", show);
  show();
  example.querySelector(".cards").before(transport.element);
  for (const audio of example.querySelectorAll("audio")) audio.hidden = true;
  cards.forEach((card, i) => card.addEventListener("click", () => transport.choose(i)));
  example.addEventListener("keydown", (event) => {
    if (transport.press(event) || event.key !== "x") return;
    event.preventDefault();
    transport.next();
  });
  document.addEventListener("filter", () => {
    cards.forEach((card, i) => {
      transport.radios[i].disabled = transport.radios[i].parentElement.hidden = card.hidden;
    });
    if (transport.radios[transport.chosen].disabled) transport.next();
  });
}

/** Show only the clips and the systems that are asked for, in tables and in players. */
function filter(form) {
  const wanted = form.elements.clip.value.trim().toLowerCase();
  const hidden = new Set([...form.elements.system].filter((box) => !box.checked).map((box) => box.value));
  for (const each of document.querySelectorAll("[data-clip]")) each.hidden = !each.dataset.clip.toLowerCase().includes(wanted);
  for (const each of document.querySelectorAll("[data-system]")) each.hidden = hidden.has(each.dataset.system);
  for (const card of document.querySelectorAll("figure")) card.hidden = hidden.has(card.dataset.name);
  const differs = Boolean(form.elements.difference?.checked);
  for (const picture of document.querySelectorAll(".difference")) {
    picture.hidden = !differs;
    picture.previousElementSibling.hidden = differs;
  }
  for (const legend of document.querySelectorAll(".difference-legend")) legend.hidden = !differs;
  document.dispatchEvent(new Event("filter"));
}

async function decoded(audio) {
  return context.decodeAudioData(await (await fetch(audio.src)).arrayBuffer());
}

/** Let each column of a table be sorted, by numbers where it has any. */
function makeSortable(table) {
  const headings = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const text = (row, column) => row.cells[column].firstChild?.textContent.trim() ?? "";
  const value = (row, column) => Number.parseFloat(text(row, column).replaceAll(",", "").replace("\u2212", "-"));
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...(heading.childNodes.length ? heading.childNodes : ["system"]));
    heading.append(button);
    button.addEventListener("click", () => {
      const direction = heading.ariaSort === "ascending" ? -1 : 1;
      for (const other of headings) other.ariaSort = null;
      heading.ariaSort = direction > 0 ? "ascending" : "descending";
      const rows = [...body.rows];
      const isText = column === 0 || rows.every((row) => Number.isNaN(value(row, column)));
      rows.sort((a, b) => {
        if (isText) return direction * text(a, column).localeCompare(text(b, column), "en", { numeric: true });
        const [left, right] = [value(a, column), value(b, column)];
        if (Number.isNaN(left) || Number.isNaN(right)) return Number.isNaN(left) - Number.isNaN(right);
        return direction * (left - right);
      });
      body.append(...rows);
    });
  });
}

for (const example of document.querySelectorAll(".example")) install(example);
for (const table of document.querySelectorAll(".scroll table")) makeSortable(table);
for (const form of document.querySelectorAll(".filters")) {
  form.hidden = false;
  form.addEventListener("input", () => filter(form));
  form.addEventListener("submit", (event) => event.preventDefault());
}
