"use strict";
// Every text goes in as text, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const [form, list, count, more] = ["find", "found", "count", "more"].map((id) => document.getElementById(id));
const STEP = 20; // songs that are drawn at once
const KINDS = ["agreed", "contradicted", "alone"];
// Written as the page writes other characters that act unseen; lower case may be longer than the text, so none of it.
const plain = (text) => text.normalize("NFC").toLocaleLowerCase();
const haystacks = data.songs.map((song) => plain([song.id, song.title, ...song.references, ...song.captions.flat()].join("\n")));
let words = [], songs = [], shown = 0;

function add(parent, name, text = "", kind = "") {
  const node = parent.appendChild(document.createElement(name));
  if (kind) node.className = kind;
  if (text) paint(node, text);
  return node;
}

// Adds a text with the words that were searched for marked.
function paint(node, text) {
  const low = plain(text);
  const same = low.length === text.length;
  let start = 0;
  while (same && words.length) {
    const next = words.map((word) => [low.indexOf(word, start), word]).filter(([at]) => at >= 0);
    if (!next.length) break;
    const [at, word] = next.reduce((a, b) => (b[0] < a[0] || (b[0] === a[0] && b[1].length > a[1].length) ? b : a));
    node.append(text.slice(start, at));
    node.appendChild(document.createElement("mark")).textContent = text.slice(at, at + word.length);
    start = at + word.length;
  }
  node.append(text.slice(start));
}

function addFacts(box, facts) {
  const list = document.createElement("ul");
  list.className = "facts";
  KINDS.forEach((kind, place) => {
    if (facts[place].length) add(list, "li", `${kind}: ${facts[place].map((fact) => data.facts[fact]).join(", ")}`, kind);
  });
  if (list.children.length) box.append(list);
}

function addSong(song) {
  const article = add(list, "article");
  add(article, "h3", song.title || song.id);
  if (song.title) add(article, "div", song.id, "id");
  add(article, "h4", "What people wrote (references)");
  const references = add(article, "ul");
  for (const text of song.references) add(references, "li", text).dir = "auto";
  const boxes = add(article, "div", "", "captions");
  data.systems.forEach((name, place) => {
    const box = add(boxes, "div", "", "caption");
    add(box, "h4", name);
    for (const text of song.captions[place]) add(box, "p", text || "(empty)", text ? "" : "empty").dir = "auto";
    addFacts(box, song.facts[place]);
    add(box, "p", `${data.figure} ${song.scores[place].toFixed(1)}`, "scores");
  });
  return article;
}

function showMore() {
  const first = songs.slice(shown, shown + STEP).map(addSong)[0];
  shown = Math.min(shown + STEP, songs.length);
  more.hidden = shown === songs.length;
  count.textContent = `${songs.length.toLocaleString("en")} of ${data.songs.length.toLocaleString("en")} songs`
    + (more.hidden ? "" : `, the first ${shown} are shown`);
  return first;
}

function find() {
  words = plain(form.elements.words.value).split(/\s+/).filter(Boolean);
  songs = data.songs.filter((_, place) => words.every((word) => haystacks[place].includes(word)));
  const spread = (song) => Math.max(...song.scores) - Math.min(...song.scores);
  const mean = (song) => song.scores.reduce((a, b) => a + b, 0) / song.scores.length;
  const value = { spread, best: mean, worst: (song) => -mean(song) }[form.elements.order.value];
  if (value) songs.sort((a, b) => value(b) - value(a));
  list.replaceChildren();
  shown = 0;
  showMore();
}

let waiting = 0;
form.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(find, 150);
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  find();
});
more.addEventListener("click", () => {
  const first = showMore();
  if (first) {
    first.tabIndex = -1; // the keyboard goes on where the new songs begin
    first.focus();
  }
});
document.getElementById("search").hidden = false;
find();
