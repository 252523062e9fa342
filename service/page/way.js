// The way of the data, per partition: still in the topic, fetched, trained, saved.
import { at, keeper, make, plural, say, seconds, whole } from "./dom.js"

const STAGES = [
  ["saved", "saved", p => Math.max(0, p.checkpointed - p.origin)],
  ["trained", "trained, not saved", p => Math.max(0, p.position - p.checkpointed)],
  ["fetched", "fetched, in work", p => Math.max(0, p.fetched - p.position)],
  ["waiting", "in the topic", p => (p.log_end === null ? null : Math.max(0, p.log_end - Math.max(p.fetched, p.position)))],
]
const key = partition => `${partition.topic} ${partition.partition}`
const show = keeper(at("partitions"), key, row)

export function showWay(partitions) {
  show(partitions)
  at("way-note").hidden = partitions.length > 0
  at("way-legend").hidden = !partitions.length
}

function row(partition) {
  const head = make("span", { className: "soft" })
  const parts = STAGES.map(([name]) => make("i", { className: name }))
  const numbers = STAGES.map(() => make("b"))
  const offsets = STAGES.map(() => make("small"))
  const bar = make("div", { className: "bar", role: "img" }, ...parts)
  const cells = STAGES.map(([name, text], index) =>
    make("div", {}, make("dt", { className: name }, text), make("dd", {}, numbers[index], offsets[index])))
  const update = p => {
    const counts = STAGES.map(([, , count]) => count(p))
    const places = [p.checkpointed, p.position, Math.max(p.fetched, p.position), p.log_end]
    const names = ["up to", "up to", "up to", "log end"]
    counts.forEach((count, index) => {
      parts[index].style.flexGrow = Math.log2(1 + (count ?? 0))
      say(numbers[index], whole(count))
      say(offsets[index], `${names[index]} ${whole(places[index])}`)
    })
    const behind = p.lag === null ? "the log's end is not known" : p.lag ? `${plural(p.lag, "record")} behind, for ${seconds(p.lag_seconds)}` : "level"
    say(head, `${whole(p.trained)} trained · ${behind}`)
    bar.ariaLabel = STAGES.map(([, text], index) => `${whole(counts[index])} ${text}`).join(", ")
  }
  return { element: make("li", {}, make("h3", {}, key(partition), head), bar, make("dl", {}, ...cells)), update }
}
