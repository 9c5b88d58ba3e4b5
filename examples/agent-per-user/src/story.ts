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
  get failed(): number {
    return this.#failed;
  }
}
