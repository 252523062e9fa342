// Records that were refused, by reason, and the newest of them.
import { at, keeper, make, plural, say, whole } from "./dom.js"
import { locked } from "./locked.js"

const SHOWN = 20
const showReasons = keeper(at("letter-reasons"), each => each.reason, reason)
const showNewest = keeper(at("letter-list"), each => `${each.topic} ${each.partition} ${each.offset}`, letter)

export const showLetters = locked("letters", `v1/dead-letters?limit=${SHOWN}`, answer => {
  const counts = Object.entries(answer?.counts ?? {}).sort(([, one], [, other]) => other - one)
  const most = counts[0]?.[1], newest = answer?.dead_letters ?? []
  showReasons(counts.map(([reason, count]) => ({ reason, count, most })))
  showNewest(newest)
  at("letter-table").hidden = !counts.length
  at("letter-newest").hidden = !newest.length
  const total = counts.reduce((sum, [, count]) => sum + count, 0)
  const shown = total > newest.length ? `${newest.length} of ${plural(total, "letter")}` : plural(total, "letter")
  say(at("letter-summary"), `${shown}, newest first by partition`)
  return counts.length ? "" : "None. What can't be used is counted here, by reason."
})

function reason({ reason: name }) {
  const bar = make("i", { className: "prequential" }), number = make("td")
  const element = make("tr", {}, make("th", { scope: "row" }, name.replaceAll("_", " ")), make("td", { className: "bars" }, bar), number)
  const update = ({ count, most }) => {
    bar.style.width = `${(100 * count) / most}%`
    say(number, whole(count))
  }
  return { element, update }
}

function letter(each) {
  return { element: make("li", {}, `${each.topic} ${each.partition}, offset ${whole(each.offset)}: ${each.reason}`) }
}
