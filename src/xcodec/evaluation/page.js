/** What the report does beyond being read: tracks of a clip play in sync, and tables sort. Player stands above. */

const context = new AudioContext();
const players = [];

for (const example of document.querySelectorAll(".example")) install(example);
for (const table of document.querySelectorAll(".scroll table")) makeSortable(table);

/** Put one player in place of those of a clip's cards. */
function install(example) {
  const cards = [...example.querySelectorAll("figure")];
  const seconds = Number(example.dataset.seconds);
  const player = new Player(context);
  const transport = document.createElement("div");
  transport.className = "transport";
  transport.innerHTML = `
    <button type="button" class="play" aria-label="Play"><svg viewBox="0 0 24 24" aria-hidden="true"><path class="when-paused" d="M8 5v14l11-7z"/><path class="when-playing" d="M7 5h3.5v14H7zM13.5 5H17v14h-3.5z"/></svg></button>
    <fieldset class="switch"><legend class="unseen">Which is heard</legend></fieldset>
    <input type="range" class="position" min="0" max="${seconds}" step="0.01" value="0" aria-label="Position">
    <output class="time" aria-live="off"></output>`;
  const [button, choices, position, time] = transport.children;
  const group = `heard-${players.push(player)}`;
  const radios = cards.map((card, i) => {
    const label = document.createElement("label");
    label.innerHTML = `<input type="radio" name="${group}" value="${i}"><span></span>`;
    label.lastChild.append(i < 9 ? Object.assign(document.createElement("kbd"), { textContent: i + 1 }) : "", " ", card.dataset.name);
    choices.append(label);
    return label.firstChild;
  });
  radios[0].checked = true;
  example.querySelector(".cards").before(transport);
  for (const audio of example.querySelectorAll("audio")) audio.hidden = true;

  let loaded = null; // all tracks, decoded when they are first wanted
  const load = () =>
    (loaded ??= Promise.all(cards.map((card) => decoded(card.querySelector("audio")))).then((buffers) => {
      const chosen = radios.findIndex((radio) => radio.checked);
      buffers.forEach((buffer, i) => player.setTrack(String(i), buffer));
      player.choose(String(chosen));
      player.seek(Number(position.value));
    }));
  const toggle = async () => {
    await load();
    for (const other of players) if (other !== player) other.pause();
    await player.toggle();
  };
  const choose = (i) => {
    if (!radios[i]) return;
    radios[i].checked = true;
    player.choose(String(i));
    show();
  };
  const seek = (to) => {
    position.value = to;
    player.seek(Number(position.value));
    show();
  };
  const show = () => {
    const at = loaded && player.names.length ? player.time : Number(position.value);
    button.classList.toggle("playing", player.playing);
    button.setAttribute("aria-label", player.playing ? "Pause" : "Play");
    position.value = at;
    position.setAttribute("aria-valuetext", `${at.toFixed(1)} of ${seconds.toFixed(1)} seconds`);
    time.textContent = `${at.toFixed(1)} / ${seconds.toFixed(1)} s`;
    cards.forEach((card, i) => card.classList.toggle("heard", radios[i].checked));
    if (player.playing) requestAnimationFrame(show);
  };

  player.addEventListener("change", show);
  button.addEventListener("click", toggle);
  radios.forEach((radio, i) => radio.addEventListener("change", () => choose(i)));
  position.addEventListener("input", () => seek(position.value));
  cards.forEach((card, i) => card.addEventListener("click", () => choose(i)));
  example.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const current = radios.findIndex((radio) => radio.checked);
    const action = /^[1-9]$/.test(event.key)
      ? () => choose(Number(event.key) - 1)
      : { " ": event.target === button ? null : toggle, x: () => choose((current + 1) % radios.length) }[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
  show();
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
