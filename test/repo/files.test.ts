// The rules of CONTRIBUTING.md that neither the formatter nor the linter knows: sizes, names, first lines, tests that are left out.
import { basename } from 'node:path';
import { describe, expect, it } from 'vitest';
import { read, sourceFiles } from './workspace.ts';

const files = sourceFiles();
const offenders = (isWrong: (text: string, file: string) => boolean): string[] =>
  files.filter((file) => isWrong(read(file), file));

describe('every source file', () => {
  it('is found by this test', () => {
    expect(files).toContain('packages/shared/src/index.ts');
    expect(files).toContain('test/repo/files.test.ts');
  });

  it('has at most 400 lines', () => {
    expect(offenders((text) => text.trimEnd().split('\n').length > 400)).toEqual([]);
  });

  it('begins by saying what it is for', () => {
    expect(offenders((text) => !/^(#!.*\n)?(\/\/ |\/\*)/.test(text))).toEqual([]);
  });

  it('is named in kebab-case, and for what it holds', () => {
    const vague = /^(utils?|helpers?|commons?|managers?|services?|impl|types)\./;
    expect(
      files.filter((file) => !/^\.?[a-z0-9]+([.-][a-z0-9]+)*$/.test(basename(file)) || vague.test(basename(file))),
    ).toEqual([]);
  });

  it('leaves no test out and nothing to do', () => {
    const leftOut =
      /\b(?:describe|it|test|suite|bench)(?:\.\w+)*\.(?:skip|only|todo|fails|skipIf|runIf)\b|\b(?:xit|xdescribe|fit|fdescribe)\(/;
    const toDo = new RegExp(
      `\\b(?:${['TO', 'FIX', 'HA', 'XX'].map((word, i) => word + ['DO', 'ME', 'CK', 'X'][i]).join('|')})\\b`,
    );
    // A suite may need a program of the machine; what is missing is said at the end of the run, and the continuous integration installs it.
    const told = /\bdescribe\.runIf\(isInstalled\('[\w-]+'\)\)/g;
    expect(
      offenders(
        (text, file) =>
          file !== 'test/repo/files.test.ts' && (leftOut.test(text.replace(told, 'describe')) || toDo.test(text)),
      ),
    ).toEqual([]);
  });
});
