// Where an OpenAPI document comes from: an address, a file or its text. For the first import and for every later one.
import { typed } from '../words.ts';
import { AreaField, Field, TextField } from './form.tsx';

export const DocumentFields = () => (
  <>
    <TextField
      label="Address of the OpenAPI document"
      name="documentUrl"
      type="url"
      hint="Read once. Or take a file, or paste the document."
    />
    <Field label="File">
      {(ties) => <input type="file" name="documentFile" accept=".json,.yaml,.yml" {...ties} />}
    </Field>
    <AreaField label="Document (JSON or YAML)" name="document" class="mono" />
    <TextField label="Where the API is (optional)" name="baseUrl" type="url" hint="When not where the document says." />
  </>
);

/** The document's text or address; throws when none was given. */
export async function documentOf(data: FormData): Promise<string> {
  const file = data.get('documentFile');
  if (file instanceof File && file.size > 0) return file.text();
  const text = typed(data, 'document') ?? typed(data, 'documentUrl');
  if (text === undefined) throw new Error('Give the address of the document, a file, or its text.');
  return text;
}
