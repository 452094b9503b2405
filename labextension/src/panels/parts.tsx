/**
 * Small parts that the panels share.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import { type LabIcon, refreshIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import type { Usage } from '../api';
import { bytes } from '../models/text';
import { RequestError } from '../requests';

/** A button with an icon, and a name for who cannot see it. */
export function IconButton(props: {
  icon: LabIcon;
  label: string;
  about: string;
  onClick: () => void;
  pressed?: boolean;
}): React.JSX.Element {
  const { icon, label, about, onClick, pressed } = props;
  return (
    <button
      type="button"
      className="jp-Button jp-mod-minimal pcm-IconButton"
      title={label}
      aria-label={`${label}: ${about}`}
      aria-expanded={pressed}
      onClick={onClick}
    >
      <icon.react tag="span" aria-hidden="true" width="16px" height="16px" />
    </button>
  );
}

/** A button that looks again at everything. */
export function refreshButton(onClick: () => void, trans: TranslationBundle): React.JSX.Element {
  return (
    <IconButton
      icon={refreshIcon}
      label={trans.__('Look again')}
      about={trans.__('all')}
      onClick={onClick}
    />
  );
}

/** Why something could not be read, and what to do. */
export function Failure(props: { failure: Error; trans: TranslationBundle }): React.JSX.Element {
  const { failure, trans } = props;
  if (failure instanceof RequestError && failure.isAbsent) {
    return (
      <p className="pcm-Note" role="status">
        {trans.__(
          'The server extension of Code Mode does not answer. Enable it with: jupyter server extension enable py_code_mode_jupyter'
        )}
      </p>
    );
  }
  return (
    <p className="pcm-Note pcm-mod-failed" role="alert">
      {failure.message}
      {failure instanceof RequestError && failure.remedy ? ` ${failure.remedy}` : ''}
    </p>
  );
}

/** Memory beside its limit, and CPU. */
export function UsageLine(props: {
  usage: Usage;
  trans: TranslationBundle;
  about: string;
}): React.JSX.Element {
  const { usage, trans, about } = props;
  const limit = usage.memory_limit;
  const words =
    limit === null
      ? trans.__('%1, no limit', bytes(usage.memory))
      : trans.__('%1 of %2', bytes(usage.memory), bytes(limit));
  return (
    <div className="pcm-Usage">
      {limit === null ? null : (
        <meter
          className="pcm-Meter"
          min={0}
          max={limit}
          high={0.8 * limit}
          value={Math.min(usage.memory, limit)}
          aria-label={trans.__('Memory of %1: %2', about, words)}
        />
      )}
      <span title={trans.__('Highest: %1', bytes(usage.memory_peak))}>{words}</span>
      {usage.cpu_percent === null ? null : (
        <span>{trans.__('CPU %1 %', Math.round(usage.cpu_percent))}</span>
      )}
    </div>
  );
}

/** A field to search with, which asks a moment after the last key. */
export function Search(props: {
  label: string;
  value: string;
  onSearch: (text: string) => void;
}): React.JSX.Element {
  const [text, setText] = React.useState(props.value);
  const { onSearch } = props;
  React.useEffect(() => {
    const timer = setTimeout(() => {
      if (text !== props.value) {
        onSearch(text);
      }
    }, 250);
    return () => clearTimeout(timer);
  }, [text, props.value, onSearch]);
  return (
    <input
      type="search"
      className="jp-mod-styled pcm-Search"
      placeholder={props.label}
      aria-label={props.label}
      value={text}
      onChange={event => setText(event.target.value)}
    />
  );
}

/** A date in the browser's own manner. */
export function When(props: { iso: string }): React.JSX.Element {
  const date = new Date(props.iso);
  return (
    <time dateTime={props.iso} title={date.toLocaleString()}>
      {date.toLocaleString(undefined, { dateStyle: 'short', timeStyle: 'short' })}
    </time>
  );
}
