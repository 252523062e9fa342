// What needs a person: what it is, what can be done, and the answers as buttons.
import { at, keeper, make, marked, moment, say } from "./dom.js"
import { notice, press } from "./notices.js"
import { call } from "./server.js"

const show = keeper(at("problem-list"), problem => problem.id, card)

export function showProblems(problems) {
  const within = at("problem-list").contains(document.activeElement)
  at("problems").hidden = !problems.length
  show(problems)
  if (within && !at("problem-list").contains(document.activeElement)) at("sentence").focus()
}

function card(problem) {
  const since = make("time"), detail = make("p"), remedies = make("ul"), answers = make("div", { className: "buttons" })
  const showRemedies = keeper(remedies, remedy => remedy, remedy => ({ element: make("li", {}, ...marked(remedy)) }))
  const showAnswers = keeper(answers, answer => answer.answer, answer => ({ element: button(problem, answer) }))
  const update = now => {
    since.dateTime = now.since
    say(since, `since ${moment(now.since)}`)
    say(detail, now.detail)
    showRemedies(now.remedies)
    showAnswers(now.answers)
  }
  const title = make("h3", {}, make("span", {}, problem.type.replaceAll("-", " ")), since)
  return { element: make("article", { className: "card problem" }, title, detail, remedies, answers), update }
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
