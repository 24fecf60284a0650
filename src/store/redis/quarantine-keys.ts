/** The ids of a route's events in quarantine, by when they are removed. @param base what all keys of its queue begin with */
export function quarantineKey(base: string): string {
  return `${base}quarantine`;
}

/** By which print which of them is known. */
export function printsKey(base: string): string {
  return `${base}quarantine-prints`;
}

/** Where one of them is kept, in the place and the form of a job that BullMQ knows nothing of. */
export function quarantineId(id: string): string {
  return `quarantined-${id}`;
}
