// The checkpoints, and what can be done with each.
import { at, bytes, keeper, make, moment, say, whole } from "./dom.js"
import { follow, notice, press } from "./notices.js"
import { openRestore } from "./restore.js"
import { call } from "./server.js"

const PAGE = 8
let shown = PAGE, asked = 0
const show = keeper(at("checkpoint-rows"), one => one.id, row)

export async function showCheckpoints() {
  const number = ++asked
  let page
  try {
    page = await call("GET", `v1/checkpoints?limit=${Math.min(shown, 200)}`)
  } catch (error) {
    return note(error.message)
  }
  if (number !== asked) return // a later question has the newer answer
  show(page.checkpoints)
  at("checkpoint-table").hidden = !page.checkpoints.length
  at("older").hidden = page.next === null
  note(page.checkpoints.length ? "" : "None yet. They are taken by themselves, from time to time; each is a point to go back to.")
}

function note(text) {
  say(at("checkpoint-note"), text)
  at("checkpoint-note").hidden = !text
}

at("older").onclick = () => {
  shown += 2 * PAGE
  showCheckpoints()
}

function row(first) {
  let one = first
  const label = make("span", { className: "label" }), pinned = make("span", { className: "label pin" }, "pinned")
  const integrity = make("span"), pin = action("Pin", () => press(pin, () => turn(one)))
  const actions = [
    action("Verify", button => work(button, one, "verify", "Verify", () => "every file is what was written")),
    action("Restore…", () => openRestore(one.id)),
    pin,
    action("Export", button => work(button, one, "export", "Export", result => result.directory)),
  ]
  const cells = [
    ["", make("code", {}, one.id), label, pinned],
    ["Step", whole(one.step)],
    ["Taken", make("time", { dateTime: one.created_at, title: one.cause ?? "" }, moment(one.created_at))],
    ["Size", bytes(one.size_bytes)],
    ["Files", integrity],
    ["", make("div", { className: "actions" }, ...actions)],
  ]
  const update = now => {
    one = now
    say(label, now.label ?? "")
    label.hidden = !now.label
    pinned.hidden = !now.pinned
    say(integrity, now.integrity)
    integrity.className = now.integrity
    say(pin, now.pinned ? "Unpin" : "Pin")
    for (const button of actions) button.ariaLabel = `${button.textContent} ${now.id}`
  }
  return { element: make("tr", {}, ...cells.map(([name, ...content]) => make("td", { "data-name": name }, ...content))), update }
}

function action(text, act) {
  const button = make("button", { type: "button", className: "link" }, text)
  button.onclick = () => act(button)
  return button
}

const path = one => `v1/checkpoints/${encodeURIComponent(one.id)}`

const work = (button, one, verb, title, result) =>
  press(button, async () => {
    follow(await call("POST", `${path(one)}/${verb}`), `${title} ${one.id}`, result).then(showCheckpoints)
  })

async function turn(one) {
  await call("PATCH", path(one), { pinned: !one.pinned })
  notice(`${one.id} is ${one.pinned ? "kept as long as the rules say" : "kept for ever"}`, "good")
  await showCheckpoints()
}
