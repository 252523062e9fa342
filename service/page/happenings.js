// What has happened since the service started, and what this page has seen before that; the newest first.
import { at, keeper, make, moment } from "./dom.js"

const SHOWN = 60
const show = keeper(at("happenings"), each => `${each.number} ${each.at}`, line)
let seen = []

export function showHappenings(happenings) {
  const first = happenings.length ? Date.parse(happenings[0].at) : Infinity
  told([...seen.filter(each => Date.parse(each.at) < first), ...happenings])
}

export const addHappening = happening => told([...seen, happening])

function told(all) {
  seen = all.slice(-SHOWN)
  show(seen.toReversed())
  at("happenings-note").hidden = seen.length > 0
}

function line(each) {
  const time = make("time", { dateTime: each.at }, moment(each.at))
  return { element: make("li", { className: each.bad ? "bad" : each.about }, time, make("span", {}, each.text)) }
}
