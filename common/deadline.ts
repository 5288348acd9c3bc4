/**
 * What a promise gives, if it does so in time; otherwise rejects. What it comes to afterwards, a failure too, is not used.
 * @param time ms, from now on
 * @param late the reason to reject with when it takes longer
 */
export async function withDeadline<Value>(time: number, promise: Promise<Value>, late: () => Error): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_, reject) => (timer = setTimeout(() => reject(late()), time)));
  try {
    return await Promise.race([promise, tooLate]);
  } finally {
    clearTimeout(timer);
  }
}
