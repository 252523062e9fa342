// IoU by class: a bar each, for the hold-out set or, until there is one, for batches before they are trained.
import { at, make, share } from "./dom.js"

const NAMES = { prequential: "before training", held: "held out" }

export function showScores(scores, colours) {
  const found = new Map()
  for (const score of scores.filter(each => each.name === "iou")) {
    const entry = found.get(score.class) ?? {}
    entry[score.set === "prequential" ? "prequential" : "held"] = score.value
    found.set(score.class, entry)
  }
  if (!found.size) return
  const classes = [...found].sort(([one], [other]) => Number(one) - Number(other))
  const kinds = ["prequential", "held"].filter(kind => classes.some(([, entry]) => entry[kind] !== undefined))
  const head = make("tr", {}, make("th", { scope: "col" }, "class"), make("td", { className: "bars" }),
    ...kinds.map(kind => make("th", { scope: "col" }, NAMES[kind])))
  const body = classes.map(([name, entry]) => line(name, entry, kinds, colours?.[Number(name)]))
  at("class-scores").replaceChildren(make("table", {}, make("thead", {}, head), make("tbody", {}, ...body)))
}

function line(name, entry, kinds, colour) {
  const swatch = make("i", { className: "swatch" })
  if (colour) swatch.style.background = colour
  const bars = kinds.map(kind => {
    const bar = make("i", { className: kind })
    bar.style.width = `${100 * (entry[kind] ?? 0)}%`
    return bar
  })
  return make("tr", {}, make("th", { scope: "row" }, ...(colour ? [swatch] : []), name), make("td", { className: "bars" }, ...bars),
    ...kinds.map(kind => make("td", {}, share(entry[kind]))))
}
