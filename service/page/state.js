// What the service does, in a sentence, and the buttons that change it.
import { at, moment, plural, say, short } from "./dom.js"
import { follow, press } from "./notices.js"
import { call } from "./server.js"
import { lagRecords } from "./status.js"

const MEANING = {
  starting: s => `Starting: ${s.worker.doing || "a worker is on its way"}.`,
  restoring: s => `Restoring: ${s.worker.doing || "the newest checkpoint is being read"}.`,
  training: s => `Training${pace(s)}, ${behind(s)}.`,
  waiting: s => (lagRecords(s) ? `Waiting for a batch to fill, ${behind(s)}.` : `Waiting for new records: ${behind(s)}.`),
  paused: s => `Paused, ${behind(s)}. The model stays loaded; nothing is trained until someone resumes.`,
  draining: s => `Finishing: ${s.worker.doing || "what is read already is being trained"}.`,
  restarting: s => `Starting again: ${s.worker.doing}. Nothing is lost; it goes on from the newest checkpoint.`,
  stopped: () => "Stopped. Memory and device are free; start goes on from the newest checkpoint.",
  failed: () => "Failed, and waiting for someone. Nothing that was saved is lost.",
}
const COLOUR = { training: "good", waiting: "good", paused: "calm", stopped: "calm", failed: "bad" }

function behind(s) {
  const records = lagRecords(s)
  if (records === null) return "the log's end is not known yet"
  return records ? `${plural(records, "record")} behind` : "level with the topic"
}

const pace = s => (s.rates.records_per_s >= 0.05 ? ` at ${short(s.rates.records_per_s)} records/s` : "")

export function showState(s) {
  const wrong = s.degraded || s.problems.length ? "⚠ " : "", state = s.degraded ? `${s.state}, degraded` : s.state
  say(at("name"), s.name)
  const title = `${wrong}${state === "training" ? "" : `${state} · `}${s.name} · penstock`
  if (document.title !== title) document.title = title
  say(at("chip"), state)
  at("chip").className = `chip ${s.degraded ? "bad" : COLOUR[s.state] ?? "busy"}`
  say(at("sentence"), s.degraded ? `Degraded: ${s.degraded.detail}. It goes on by itself once that is over.` : MEANING[s.state](s))
  say(at("facts"), facts(s).join(" · "))
  showButtons(s)
}

// Whatever else is on the page is what was known then.
export function showLost(sentence, heardAt) {
  say(at("sentence"), heardAt === null ? sentence : `${sentence} This is what it said at ${moment(heardAt)}.`)
}

// A button that has the focus hands it on before it goes.
function showButtons(s) {
  const focused = document.activeElement
  at("pause").hidden = s.desired_state !== "running" || s.state === "failed"
  at("resume").hidden = s.desired_state !== "paused"
  at("start").hidden = s.desired_state !== "stopped"
  at("stop").hidden = s.state === "stopped" || s.state === "failed"
  at("checkpoint").hidden = ["stopped", "failed"].includes(s.state)
  if (focused?.hidden && at("steering").contains(focused)) (at("steering").querySelector("button:not([hidden])") ?? at("sentence")).focus()
}

function facts(s) {
  const told = [`${plural(s.records.trained, "record")} in the weights after ${plural(s.step, "step")}`]
  if (s.device) told.push(s.device)
  if (s.worker.started_at && s.worker.pid) told.push(`worker since ${moment(s.worker.started_at)}`)
  if (s.worker.restarts) told.push(plural(s.worker.restarts, "restart"))
  return told
}

export function steer(changed) {
  const desire = (button, path) => press(at(button), async () => changed(await call("POST", path)))
  for (const name of ["pause", "resume", "start"]) at(name).onclick = () => desire(name, `v1/${name}`)
  at("checkpoint").onclick = () =>
    press(at("checkpoint"), async () => {
      const operation = await call("POST", "v1/checkpoints", {})
      follow(operation, "Checkpoint", result => `${result.checkpoint_id} is taken`)
    })
  at("stop").onclick = () => {
    at("stop-dialog").returnValue = ""
    at("stop-dialog").showModal()
  }
  at("stop-dialog").onclose = () => {
    if (at("stop-dialog").returnValue === "ok") desire("stop", `v1/stop?drain=${at("drain").checked}`)
  }
}
