// What the service does, in a sentence, and the buttons that change it.
import { at, clock, plural, short } from "./dom.js"
import { follow, press } from "./notices.js"
import { call } from "./server.js"

const MEANING = {
  starting: s => `Starting: ${s.worker.doing || "a worker is on its way"}.`,
  restoring: s => `Restoring: ${s.worker.doing || "the newest checkpoint is being read"}.`,
  training: s => `Training${pace(s)}, ${behind(s)}.`,
  waiting: s => (lag(s) ? `Waiting for a batch to fill, ${behind(s)}.` : `Waiting for new records: ${behind(s)}.`),
  paused: s => `Paused, ${behind(s)}. The model stays loaded; nothing is trained until someone resumes.`,
  draining: s => `Finishing: ${s.worker.doing || "what is read already is being trained"}.`,
  restarting: s => `Starting again: ${s.worker.doing}. Nothing is lost; it goes on from the newest checkpoint.`,
  stopped: () => "Stopped. Memory and device are free; start goes on from the newest checkpoint.",
  failed: () => "Failed, and waiting for someone. Nothing that was saved is lost.",
}
const COLOUR = { training: "good", waiting: "good", paused: "calm", stopped: "calm", failed: "bad" }

function lag(s) {
  return s.partitions.some(p => p.lag === null) ? null : s.partitions.reduce((sum, p) => sum + p.lag, 0)
}

function behind(s) {
  const records = lag(s)
  if (records === null || !s.partitions.length) return "the log's end is not known yet"
  return records ? `${plural(records, "record")} behind` : "level with the topic"
}

const pace = s => (s.rates.records_per_s >= 0.05 ? ` at ${short(s.rates.records_per_s)} records/s` : "")

export function showState(s) {
  at("name").textContent = s.name
  document.title = `${s.state === "training" ? "" : `${s.state} · `}${s.name} · penstock`
  at("chip").textContent = s.state
  at("chip").className = `chip ${s.degraded ? "bad" : COLOUR[s.state] ?? "busy"}`
  at("sentence").textContent = s.degraded ? `Degraded, ${s.state}: ${s.degraded.detail}. It goes on by itself once that is over.` : MEANING[s.state](s)
  at("facts").textContent = facts(s).join(" · ")
  at("pause").hidden = s.desired_state !== "running" || s.state === "failed"
  at("resume").hidden = s.desired_state !== "paused"
  at("start").hidden = s.desired_state !== "stopped"
  at("stop").hidden = s.state === "stopped" || s.state === "failed"
  at("checkpoint").hidden = ["stopped", "failed"].includes(s.state)
}

function facts(s) {
  const told = [`${plural(s.records.trained, "record")} in the weights after ${plural(s.step, "step")}`]
  if (s.device) told.push(s.device)
  if (s.worker.started_at && s.worker.pid) told.push(`worker since ${clock(s.worker.started_at)}`)
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

