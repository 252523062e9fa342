// What has happened since the service started, the newest first.
import { at, clock, make } from "./dom.js"

const SHOWN = 60

export function showHappenings(happenings) {
  if (!happenings.length) return
  at("happenings").replaceChildren(...happenings.slice(-SHOWN).reverse().map(line))
}

export function addHappening(happening) {
  at("happenings").querySelector(".soft")?.remove()
  at("happenings").prepend(line(happening))
  while (at("happenings").children.length > SHOWN) at("happenings").lastChild.remove()
}

const line = each =>
  make("li", { className: each.bad ? "bad" : each.about }, make("time", { dateTime: each.at }, clock(each.at)), make("span", {}, each.text))
