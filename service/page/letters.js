// Records that were refused, by reason, and the newest of them.
import { at, make, plural, soft, whole } from "./dom.js"
import { call, TokenNeeded } from "./server.js"

const SHOWN = 20

export async function showLetters(ask = false) {
  try {
    const answer = await call("GET", `v1/dead-letters?limit=${SHOWN}`, undefined, { ask })
    const counts = Object.entries(answer.counts).sort(([, one], [, other]) => other - one)
    if (!counts.length) return at("letters").replaceChildren(soft("None."))
    const opened = at("letters").querySelector("details")?.open ?? false
    const most = counts[0][1]
    const table = make("table", {}, make("tbody", {}, ...counts.map(([reason, count]) => line(reason, count, most))))
    at("letters").replaceChildren(table, newest(answer.dead_letters, opened))
  } catch (error) {
    const unlock = make("button", { type: "button", onclick: () => showLetters(true) }, "Show them")
    at("letters").replaceChildren(soft(error.message), ...(error instanceof TokenNeeded ? [unlock] : []))
  }
}

function line(reason, count, most) {
  const bar = make("i", { className: "prequential" })
  bar.style.width = `${(100 * count) / most}%`
  return make("tr", {}, make("th", { scope: "row" }, reason.replaceAll("_", " ")), make("td", { className: "bars" }, bar), make("td", {}, whole(count)))
}

function newest(letters, open) {
  const lines = letters.map(each => make("li", {}, `${each.topic} ${each.partition}, offset ${whole(each.offset)}: ${each.reason}`))
  return make("details", { open }, make("summary", {}, `${plural(lines.length, "letter")}, newest first by partition`), make("ol", { className: "small" }, ...lines))
}
