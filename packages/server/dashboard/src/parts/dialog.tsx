// Dialogs: the browser's own modal, so that focus and Escape are right; and the question before something ends.
import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { Form, TextField } from './form.tsx';

export function Dialog(props: { title: string; onClose: () => void; children: ComponentChildren }) {
  const { title, onClose, children } = props;
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const dialog = ref.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return (
    <dialog ref={ref} aria-labelledby={id} onClose={onClose}>
      <header>
        <h2 id={id}>{title}</h2>
        <button type="button" class="button plain small" onClick={onClose} aria-label="Close">
          ✕
        </button>
      </header>
      {children}
    </dialog>
  );
}

/** A button that opens a dialog. `children` gets the function that closes it. */
export function DialogButton(props: {
  label: string;
  title: string;
  look?: string;
  /** However it was closed: what was made in it may have to be listed. */
  onClose?: () => void;
  children: (close: () => void) => ComponentChildren;
}) {
  const { label, title, look = 'primary', onClose, children } = props;
  const [isOpen, setOpen] = useState(false);
  const close = () => {
    setOpen(false);
    onClose?.();
  };
  return (
    <>
      <button type="button" class={`button ${look}`} onClick={() => setOpen(true)}>
        {label}
      </button>
      {isOpen && (
        <Dialog title={title} onClose={close}>
          {children(close)}
        </Dialog>
      )}
    </>
  );
}

/** Nothing that cannot be undone happens on one press. `typed`: what has to be written to mean it. */
export function ConfirmButton(props: {
  label: string;
  title: string;
  text: ComponentChildren;
  confirm: string;
  typed?: string;
  look?: string;
  onConfirm: () => Promise<unknown>;
}) {
  const { label, title, text, confirm, typed, look = 'danger', onConfirm } = props;
  return (
    <DialogButton label={label} title={title} look={look}>
      {(close) => (
        <Form
          submit={confirm}
          isDanger
          onCancel={close}
          onSubmit={async (data) => {
            if (typed !== undefined && data.get('typed') !== typed) throw new Error(`Type ${typed} to go on.`);
            await onConfirm();
            close();
          }}
        >
          <p>{text}</p>
          {typed !== undefined && <TextField label={`Type ${typed} to confirm`} name="typed" required />}
        </Form>
      )}
    </DialogButton>
  );
}
