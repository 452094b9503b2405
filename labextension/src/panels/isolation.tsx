/**
 * What was measured of an isolation: the badge, and its details.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import type { Fact, Isolation, KernelInfo } from '../api';
import { moodIcons } from '../icons';
import { badgeText, levelWords, limitWords, measuredWord } from '../models/text';
import { When } from './parts';

/** Place and verified isolation, as a button that opens the details. */
export function Badge(props: {
  kernel: KernelInfo | undefined;
  trans: TranslationBundle;
  onClick: () => void;
}): React.JSX.Element {
  const { kernel, trans, onClick } = props;
  const text = badgeText(kernel, trans);
  const icon = moodIcons[text.mood];
  return (
    <button
      type="button"
      className={`jp-Button jp-mod-minimal pcm-Badge pcm-mod-${text.mood}`}
      title={text.description}
      aria-label={trans.__('Isolation: %1. Show details.', text.label)}
      onClick={onClick}
    >
      <icon.react tag="span" aria-hidden="true" width="16px" height="16px" />
      <span className="pcm-Badge-label">{text.label}</span>
    </button>
  );
}

function FactRow(props: { fact: Fact; trans: TranslationBundle }): React.JSX.Element {
  const { fact, trans } = props;
  const holds =
    fact.holds === null ? '' : fact.holds ? trans.__('holds') : trans.__('does not hold');
  return (
    <tr
      data-fact={fact.name}
      className={fact.holds === false || !fact.agrees ? 'pcm-mod-weak' : ''}
    >
      <th scope="row">{fact.label || fact.name}</th>
      <td>{measuredWord(fact.inside, trans)}</td>
      <td>{measuredWord(fact.outside, trans)}</td>
      <td>{fact.agrees ? holds : trans.__('inside and outside contradict each other')}</td>
    </tr>
  );
}

/** Everything that was measured, with the limits in force. */
export function IsolationBody(props: {
  isolation: Isolation | null;
  kernel: KernelInfo | undefined;
  trans: TranslationBundle;
}): React.JSX.Element {
  const { isolation, kernel, trans } = props;
  const text = kernel === undefined ? null : badgeText(kernel, trans);
  return (
    <div className="pcm-Isolation" tabIndex={0} role="region" aria-label={trans.__('Isolation')}>
      <p>{isolation?.summary ?? text?.description}</p>
      {isolation === null ? null : <p>{levelWords(isolation, trans)}</p>}
      {kernel?.limits ? (
        <p className="pcm-Note">{limitWords(kernel.limits, trans).join(' · ')}</p>
      ) : null}
      {isolation === null ? null : (
        <>
          <table className="pcm-Table">
            <thead>
              <tr>
                <th scope="col">{trans.__('Fact')}</th>
                <th scope="col">{trans.__('Inside, before user code')}</th>
                <th scope="col">{trans.__('Outside, by the host')}</th>
                <th scope="col">{trans.__('Isolates')}</th>
              </tr>
            </thead>
            <tbody>
              {isolation.facts.map(fact => (
                <FactRow key={fact.name} fact={fact} trans={trans} />
              ))}
            </tbody>
          </table>
          <p className="pcm-Note">
            {isolation.is_verified
              ? trans.__('Every fact that this level promises was measured and holds.')
              : trans.__('Not every fact that this level promises was measured and holds.')}{' '}
            {trans.__('Measured:')} <When iso={isolation.measured} />
          </p>
        </>
      )}
    </div>
  );
}
