/**
 * "Run in…": move a notebook to another of the three kernels and, if the user agrees, run again what was run.
 */
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Dialog, ICommandPalette, ReactWidget, showDialog } from '@jupyterlab/apputils';
import type { CodeCell } from '@jupyterlab/cells';
import { INotebookTracker, NotebookActions, type NotebookPanel } from '@jupyterlab/notebook';
import { ITranslator, nullTranslator, type TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import { type PlaceName, PLACES } from '../api';
import { attempt, offerRemedy } from '../dialogs';
import { runInIcon } from '../icons';
import { placeLabel } from '../models/text';
import { CommandIDs, ICodeMode } from '../tokens';
import { kernelOf } from './launcher';

/** What the user chose. */
interface Choice {
  readonly place: PlaceName;
  readonly runAgain: boolean;
}

/** The cells that were run, in the order in which they were. */
function executedCells(panel: NotebookPanel): CodeCell[] {
  const count = (cell: CodeCell): number => cell.model.executionCount ?? 0;
  return panel.content.widgets
    .filter((cell): cell is CodeCell => cell.model.type === 'code')
    .filter(cell => count(cell) > 0)
    .sort((first, second) => count(first) - count(second));
}

/** The places to choose from, with what keeps one from being chosen. */
class ChoiceWidget extends ReactWidget {
  constructor(
    private readonly _current: PlaceName | undefined,
    private readonly _executed: number,
    private readonly _codeMode: ICodeMode,
    private readonly _trans: TranslationBundle
  ) {
    super();
    this.addClass('pcm-RunIn');
    const others = PLACES.filter(place => place !== _current);
    this._place = others.find(place => this._isAvailable(place)) ?? others[0] ?? 'venv';
  }

  getValue(): Choice {
    return { place: this._place, runAgain: this._runAgain };
  }

  protected override render(): React.JSX.Element {
    const trans = this._trans;
    return (
      <>
        <fieldset className="pcm-Choices">
          <legend>{trans.__('Where is its code to run?')}</legend>
          {PLACES.map(place => this._choice(place))}
        </fieldset>
        <label className="pcm-Choice">
          <input
            type="checkbox"
            checked={this._runAgain}
            disabled={this._executed === 0}
            onChange={event => this._set({ runAgain: event.target.checked })}
          />
          <span>
            {trans._n(
              'Run the executed cell again',
              'Run the %1 executed cells again',
              this._executed
            )}
          </span>
        </label>
        <p className="pcm-Note">
          {trans.__('Variables do not move. What is run again has the rights of the new place.')}
        </p>
      </>
    );
  }

  private _isAvailable(place: PlaceName): boolean {
    return this._codeMode.places.ofKernel(kernelOf(place))?.is_available !== false;
  }

  private _choice(place: PlaceName): React.JSX.Element {
    const trans = this._trans;
    const about = this._codeMode.places.ofKernel(kernelOf(place));
    const isCurrent = place === this._current;
    const name = placeLabel(place, trans);
    return (
      <label key={place} className="pcm-Choice">
        <input
          type="radio"
          name="pcm-place"
          value={place}
          checked={place === this._place}
          disabled={isCurrent}
          onChange={() => this._set({ place })}
        />
        <span>
          {isCurrent ? trans.__('%1 (here now)', name) : name}
          {about === undefined || about.is_available ? null : (
            <span className="pcm-Note"> {trans.__('not available: %1', about.message)}</span>
          )}
        </span>
      </label>
    );
  }

  private _set(choice: Partial<Choice>): void {
    this._place = choice.place ?? this._place;
    this._runAgain = choice.runAgain ?? this._runAgain;
    this.update();
  }

  private _place: PlaceName;
  private _runAgain = false;
}

async function ask(
  panel: NotebookPanel,
  codeMode: ICodeMode,
  trans: TranslationBundle
): Promise<Choice | null> {
  const name = panel.sessionContext.session?.kernel?.name;
  const current = PLACES.find(place => kernelOf(place) === name);
  const result = await showDialog<Choice>({
    title: trans.__('Run in…'),
    body: new ChoiceWidget(current, executedCells(panel).length, codeMode, trans),
    buttons: [Dialog.cancelButton(), Dialog.okButton({ label: trans.__('Move') })]
  });
  return result.button.accept ? result.value : null;
}

/** Move a notebook, and run again what was run, if that is wanted. */
async function move(panel: NotebookPanel, choice: Choice): Promise<void> {
  const executed = executedCells(panel);
  const context = panel.sessionContext;
  await context.changeKernel({ name: kernelOf(choice.place) });
  await context.session?.kernel?.info;
  if (choice.runAgain) {
    await NotebookActions.runCells(panel.content, executed, context);
  }
}

export const runIn: JupyterFrontEndPlugin<void> = {
  id: 'py-code-mode-jupyter:run-in',
  description: 'Moves a notebook to another of the three kernels.',
  autoStart: true,
  requires: [ICodeMode, INotebookTracker],
  optional: [ICommandPalette, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    codeMode: ICodeMode,
    notebooks: INotebookTracker,
    palette: ICommandPalette | null,
    translator: ITranslator | null
  ): void => {
    const trans = (translator ?? nullTranslator).load('py_code_mode_jupyter');
    app.commands.addCommand(CommandIDs.runIn, {
      label: args =>
        args['isPalette'] ? trans.__('Run This Notebook in Another Place…') : trans.__('Run in…'),
      caption: trans.__('Move this notebook to another of the three kernels'),
      icon: args => (args['isPalette'] ? runInIcon : undefined),
      isEnabled: () => notebooks.currentWidget !== null,
      describedBy: { args: { type: 'object', properties: {} } },
      execute: async () => {
        const panel = notebooks.currentWidget;
        const choice = panel === null ? null : await ask(panel, codeMode, trans);
        if (panel === null || choice === null) {
          return;
        }
        if (await offerRemedy(kernelOf(choice.place), codeMode, trans)) {
          await attempt(() => move(panel, choice), trans);
        }
      }
    });
    notebooks.currentChanged.connect(() => app.commands.notifyCommandChanged(CommandIDs.runIn));
    palette?.addItem({
      command: CommandIDs.runIn,
      args: { isPalette: true },
      category: trans.__('Code Mode')
    });
  }
};
