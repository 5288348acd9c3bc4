const beatEvery = 1000; // ms
/** Less than it takes until a server says that the daemon hangs. */
const lateAfter = 3000; // ms

/**
 * Says every second that the daemon's event loop goes round, from that loop.
 * @param onBeat called each time
 * @param onLate called before that when the loop has stood still for seconds: what has happened meanwhile is not known yet
 * @returns ends it
 */
export function startPulse(onBeat: () => void, onLate: () => void): () => void {
  let last = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    if (now - last > lateAfter) onLate();
    last = now;
    onBeat();
  }, beatEvery);
  return () => clearInterval(timer);
}
