// What needs a person: what it is, what can be done, and the answers as buttons.
import { at, make, moment } from "./dom.js"
import { notice, press } from "./notices.js"
import { call } from "./server.js"

let shown = ""

export function showProblems(problems) {
  const told = JSON.stringify(problems)
  if (told === shown) return // a button that is being pressed must not be taken away
  shown = told
  at("problems").hidden = !problems.length
  at("problem-list").replaceChildren(...problems.map(card))
}

function card(problem) {
  const remedies = make("ul", {}, ...problem.remedies.map(remedy => make("li", {}, remedy)))
  return make("article", { className: "card problem" },
    make("h3", {}, problem.type.replaceAll("-", " "), make("time", { dateTime: problem.since }, `since ${moment(problem.since)}`)),
    make("p", {}, problem.detail),
    remedies,
    make("div", { className: "buttons" }, ...problem.answers.map(answer => button(problem, answer))))
}

function button(problem, { answer, effect }) {
  const label = `${answer[0].toUpperCase()}${answer.slice(1)}: ${effect}`
  const one = make("button", { type: "button", className: "main" }, label)
  one.onclick = () =>
    press(one, async () => {
      await call("POST", `v1/problems/${encodeURIComponent(problem.id)}/resolve`, { answer })
      notice(`${problem.type}: answered with ${answer}`, "good")
    })
  return one
}
