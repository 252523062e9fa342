// Figures of a status, for the sentence and for the charts.

// A sum or a maximum of what is not known of every partition is not known.
function known(s, name) {
  const values = s.partitions.map(partition => partition[name])
  return values.length && values.every(value => value !== null) ? values : null
}

export const lagRecords = s => known(s, "lag")?.reduce((sum, each) => sum + each, 0) ?? null

export function lagSeconds(s) {
  const values = known(s, "lag_seconds")
  return values && Math.max(...values)
}

// The hold-out set's has a number for a name.
export const meanIou = (s, heldOut) => s.scores.find(each => each.name === "mean_iou" && (each.set !== "prequential") === heldOut)?.value ?? null
