// Prints the story as it happens and counts what did not hold: a step that fails makes the example fail.

export class Story {
  #failed = 0;
  #step = 0;

  chapter(title: string): void {
    process.stdout.write(`\n${++this.#step}. ${title}\n`);
  }
  tell(text: string): void {
    process.stdout.write(`   ${text}\n`);
  }
  /** A fact that must hold. */
  check(holds: boolean, text: string): void {
    if (!holds) this.#failed++;
    process.stdout.write(`   ${holds ? '✓' : '✗'} ${text}\n`);
  }
  /** The error that `run` must end with. */
  async refused<E extends Error>(
    run: () => PromiseLike<unknown>,
    type: abstract new (...args: never[]) => E,
    text: string,
  ): Promise<E | undefined> {
    try {
      await run();
    } catch (error) {
      if (error instanceof type) {
        this.check(true, `${text}: ${error.message}`);
        return error;
      }
      this.check(false, `${text}: got ${error instanceof Error ? `${error.name} ${error.message}` : String(error)}`);
      return undefined;
    }
    this.check(false, `${text}: it was not refused`);
    return undefined;
  }
  get failed(): number {
    return this.#failed;
  }
}
