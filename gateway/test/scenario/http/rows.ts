/** Every row of the table of HTTP, in the order in which they run. */

import { ANSWER_ROWS } from './answer-rows.ts'
import { BODY_ROWS } from './body-rows.ts'
import { END_ROWS } from './end-rows.ts'
import { FIELD_ROWS } from './field-rows.ts'
import { INTERIM_ROWS } from './interim-rows.ts'
import { REFUSED_ROWS } from './refused-rows.ts'
import type { HttpRow } from './table.ts'

export const HTTP_ROWS: readonly HttpRow[] = [
  ...ANSWER_ROWS,
  ...FIELD_ROWS,
  ...BODY_ROWS,
  ...INTERIM_ROWS,
  ...END_ROWS,
  ...REFUSED_ROWS,
]
