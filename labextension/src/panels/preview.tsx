/**
 * What an artifact holds, as text, as a table of texts, or as a raster image: never as markup.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import type { Preview } from '../api';

const BASE64 = /^[A-Za-z0-9+/=]*$/;

function Table(props: { preview: Preview; trans: TranslationBundle }): React.JSX.Element | null {
  const { preview, trans } = props;
  const table = preview.table;
  if (table === null) {
    return null;
  }
  return (
    <>
      <p className="pcm-Note">
        {trans.__('%1 rows, %2 columns', table.total_rows, table.total_columns)}
      </p>
      <table className="pcm-Table">
        <thead>
          <tr>
            {table.columns.map((column, number) => (
              <th key={number} scope="col" title={column.type}>
                {column.name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {table.rows.map((row, number) => (
            <tr key={number}>
              {row.map((cell, column) => (
                <td key={column}>{cell ?? <i>{trans.__('missing')}</i>}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

function Image(props: { preview: Preview; trans: TranslationBundle }): React.JSX.Element | null {
  const image = props.preview.image;
  // The server encodes the image itself; whatever else came would be no raster image.
  if (image === null || image.media_type !== 'image/png' || !BASE64.test(image.data)) {
    return null;
  }
  return (
    <img
      className="pcm-Image"
      src={`data:image/png;base64,${image.data}`}
      width={image.width}
      height={image.height}
      alt={props.trans.__('Preview of %1', props.preview.artifact.name)}
    />
  );
}

/** A preview of whatever kind. */
export function PreviewBody(props: {
  preview: Preview;
  trans: TranslationBundle;
}): React.JSX.Element {
  const { preview, trans } = props;
  const notes = [
    preview.artifact.summary,
    preview.note,
    preview.truncated ? trans.__('There is more than is shown.') : ''
  ];
  return (
    // What scrolls must be reached with the keyboard.
    <div className="pcm-Preview" tabIndex={0} role="region" aria-label={preview.artifact.name}>
      {preview.artifact.description ? <p>{preview.artifact.description}</p> : null}
      {notes.filter(Boolean).map((note, number) => (
        <p key={number} className="pcm-Note">
          {note}
        </p>
      ))}
      <Table {...props} />
      <Image {...props} />
      {preview.text ? <pre className="pcm-Code pcm-mod-whole">{preview.text}</pre> : null}
    </div>
  );
}
