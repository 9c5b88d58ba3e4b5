// Forms: labelled fields, one submit that waits, and what the gateway said when it refused.
import type { ComponentChildren, TargetedSubmitEvent } from 'preact';
import { useId, useState } from 'preact/hooks';
import { noteError } from '../gateway.ts';
import { Failed } from './page.tsx';

interface FormProps {
  children: ComponentChildren;
  submit: string;
  isDanger?: boolean;
  onSubmit: (data: FormData) => Promise<unknown>;
  onCancel?: () => void;
  /** What the button says that cancels. */
  cancel?: string;
}

export function Form({ children, submit, isDanger, onSubmit, onCancel, cancel = 'Cancel' }: FormProps) {
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(undefined);
  const send = async (event: TargetedSubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    setBusy(true);
    setError(undefined);
    try {
      await onSubmit(new FormData(event.currentTarget));
    } catch (failure) {
      noteError(failure);
      setError(failure);
    } finally {
      setBusy(false);
    }
  };
  return (
    <form class="stack" onSubmit={(event) => void send(event)}>
      {children}
      {error !== undefined && <Failed error={error} />}
      <div class="row end">
        {onCancel && (
          <button type="button" class="button" onClick={onCancel}>
            {cancel}
          </button>
        )}
        <button type="submit" class={`button ${isDanger ? 'danger' : 'primary'}`} disabled={isBusy} aria-busy={isBusy}>
          {submit}
        </button>
      </div>
    </form>
  );
}

interface FieldProps {
  label: string;
  hint?: ComponentChildren;
  /** Gets the attributes that tie it to its label and hint. */
  children: (ties: { id: string; 'aria-describedby'?: string }) => ComponentChildren;
}

export function Field({ label, hint, children }: FieldProps) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children(hint ? { id, 'aria-describedby': `${id}-hint` } : { id })}
      {hint && (
        <p class="muted small" id={`${id}-hint`}>
          {hint}
        </p>
      )}
    </div>
  );
}

interface TextProps {
  label: string;
  hint?: ComponentChildren;
  name: string;
  type?: 'text' | 'password' | 'email' | 'url' | 'number';
  autocomplete?: 'off' | 'current-password' | 'new-password';
  required?: boolean;
  defaultValue?: string;
  placeholder?: string;
  pattern?: string;
  min?: number;
  max?: number;
  maxLength?: number;
}
export function TextField({ label, hint, ...input }: TextProps) {
  return (
    <Field label={label} hint={hint}>
      {/* The attributes' own types are a union over `type`, which a value of that type does not fit. */}
      {(ties) => <input autocomplete="off" spellcheck={false} {...(input as Record<string, unknown>)} {...ties} />}
    </Field>
  );
}

interface AreaProps {
  label: string;
  hint?: ComponentChildren;
  name: string;
  class?: string;
  rows?: number;
  defaultValue?: string;
  placeholder?: string;
}
export function AreaField({ label, hint, ...area }: AreaProps) {
  return (
    <Field label={label} hint={hint}>
      {(ties) => <textarea spellcheck={false} {...area} {...ties} />}
    </Field>
  );
}

interface SelectProps {
  label: string;
  hint?: ComponentChildren;
  name: string;
  value?: string;
  options: readonly { value: string; text: string }[];
  onChoose?: (value: string) => void;
  required?: boolean;
}
export function SelectField({ label, hint, name, value, options, onChoose, required }: SelectProps) {
  return (
    <Field label={label} hint={hint}>
      {(ties) => (
        <select
          name={name}
          {...(value !== undefined && { value })}
          required={required ?? false}
          onChange={(event) => onChoose?.(event.currentTarget.value)}
          {...ties}
        >
          {options.map((option) => (
            <option key={option.value} value={option.value}>
              {option.text}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

/** How long what was rotated goes on working. */
export const overlaps = [
  { value: '0', text: 'No longer: it ends now' },
  { value: '3600', text: 'One more hour' },
  { value: '86400', text: 'One more day' },
] as const;

/** Any of several, as checkboxes of one name. With `onChoose` the page holds what is chosen; `isFull`: no more can be. */
export function Choices(props: {
  legend: string;
  name: string;
  options: readonly string[];
  chosen: readonly string[];
  hint?: string;
  onChoose?: (option: string, isOn: boolean) => void;
  isFull?: boolean;
}) {
  const { legend, name, options, chosen, hint, onChoose, isFull } = props;
  const state = (option: string) => {
    const isOn = chosen.includes(option);
    return onChoose === undefined ? { defaultChecked: isOn } : { checked: isOn, disabled: isFull === true && !isOn };
  };
  return (
    <fieldset>
      <legend>{legend}</legend>
      {hint && <p class="muted small">{hint}</p>}
      <div class="choices">
        {options.map((option) => (
          <label key={option}>
            <input
              type="checkbox"
              name={name}
              value={option}
              onChange={(event) => onChoose?.(option, event.currentTarget.checked)}
              {...state(option)}
            />
            {option}
          </label>
        ))}
        {options.length === 0 && <span class="muted small">None yet.</span>}
      </div>
    </fieldset>
  );
}
