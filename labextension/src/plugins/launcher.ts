/**
 * Cards of the launcher for the three kernels. A place that is not available says so, and offers the remedy.
 */
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ILauncher } from '@jupyterlab/launcher';
import { ITranslator, nullTranslator, type TranslationBundle } from '@jupyterlab/translation';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { DisposableSet } from '@lumino/disposable';
import { type PlaceName, PLACES } from '../api';
import { offerRemedy } from '../dialogs';
import { placeIcons } from '../icons';
import { placeLabel } from '../models/text';
import { CommandIDs, ICodeMode } from '../tokens';

/** Name of the kernelspec of a place. */
export function kernelOf(place: PlaceName): string {
  return `pcm-${place}`;
}

function placeOf(args: ReadonlyPartialJSONObject): PlaceName {
  return PLACES.find(place => place === args['place']) ?? 'container';
}

function label(place: PlaceName, codeMode: ICodeMode, trans: TranslationBundle): string {
  const name = placeLabel(place, trans);
  const about = codeMode.places.ofKernel(kernelOf(place));
  return about === undefined || about.is_available ? name : trans.__('%1 (not available)', name);
}

function caption(place: PlaceName, codeMode: ICodeMode, trans: TranslationBundle): string {
  const about = codeMode.places.ofKernel(kernelOf(place));
  return about === undefined || about.is_available
    ? trans.__('New notebook: %1', placeLabel(place, trans))
    : about.message;
}

export const launcher: JupyterFrontEndPlugin<void> = {
  id: 'py-code-mode-jupyter:launcher',
  description: 'Starts notebooks in each of the three places.',
  autoStart: true,
  requires: [ICodeMode],
  optional: [ILauncher, ICommandPalette, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    codeMode: ICodeMode,
    launcher: ILauncher | null,
    palette: ICommandPalette | null,
    translator: ITranslator | null
  ): void => {
    const trans = (translator ?? nullTranslator).load('py_code_mode_jupyter');
    app.commands.addCommand(CommandIDs.createNotebook, {
      label: args =>
        args['isPalette']
          ? trans.__('New Notebook: %1', label(placeOf(args), codeMode, trans))
          : label(placeOf(args), codeMode, trans),
      caption: args => caption(placeOf(args), codeMode, trans),
      icon: args => placeIcons[placeOf(args)],
      describedBy: {
        args: {
          type: 'object',
          properties: {
            place: {
              type: 'string',
              enum: [...PLACES],
              description: trans.__('Where the code runs')
            },
            cwd: { type: 'string', description: trans.__('The folder of the new notebook') }
          }
        }
      },
      execute: async args => {
        const kernelName = kernelOf(placeOf(args));
        if (!(await offerRemedy(kernelName, codeMode, trans))) {
          return null;
        }
        return app.commands.execute('notebook:create-new', {
          kernelName,
          cwd: args['cwd'] ?? ''
        }) as unknown;
      }
    });
    for (const place of PLACES) {
      const args = { place, isPalette: true };
      palette?.addItem({
        command: CommandIDs.createNotebook,
        args,
        category: trans.__('Code Mode')
      });
    }
    if (launcher !== null) {
      showCards(launcher, codeMode, trans);
    }
  }
};

/** Show the cards, and show them anew when a place has become available, or is no longer. */
function showCards(launcher: ILauncher, codeMode: ICodeMode, trans: TranslationBundle): void {
  let cards = new DisposableSet();
  const show = (): void => {
    cards.dispose();
    cards = new DisposableSet();
    PLACES.forEach((place, rank) =>
      cards.add(
        launcher.add({
          command: CommandIDs.createNotebook,
          args: { place },
          category: trans.__('Code Mode'),
          categoryRank: -1,
          rank
        })
      )
    );
  };
  show();
  codeMode.places.changed.connect(show);
}
