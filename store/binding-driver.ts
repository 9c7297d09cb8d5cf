// The ORM's driver, made to send values beside the SQL text and never inside it: the library writes them into the text, escaped.
import {
  AbstractSqlDriver,
  type Configuration,
  type EntityManagerType,
  isRaw,
  PostgreSqlConnection,
  PostgreSqlPlatform,
  SqlEntityManager,
  Utils,
} from '@mikro-orm/postgresql';
import { CompiledQuery } from 'kysely';

interface Bound {
  readonly text: string;
  readonly values: readonly unknown[];
}

type Execute = PostgreSqlConnection['execute'];

class BindingConnection extends PostgreSqlConnection {
  override async execute<T>(
    query: Parameters<Execute>[0],
    params: Parameters<Execute>[1] = [],
    method: Parameters<Execute>[2] = 'all',
    ctx?: Parameters<Execute>[3],
    loggerContext?: Parameters<Execute>[4],
  ): Promise<T> {
    await this.ensureConnection();
    const fragment = typeof query === 'string' ? { sql: query, params } : isRaw(query) ? query : query.toRaw();
    if (!Array.isArray(fragment.params)) throw new TypeError('named parameters are not bound');
    const { text, values } = this.bind(fragment.sql, fragment.params);
    return this.executeQuery(
      text,
      async () => {
        const result = await (ctx ?? this.getClient()).executeQuery(CompiledQuery.raw(text, [...values]));
        return this.transformRawResult<T>(result, method);
      },
      { query: text, ...loggerContext },
    );
  }

  /** Numbers the placeholders: `?` is a value, `??` an identifier, `\?` the character, as in the library's own formatter. */
  private bind(sql: string, params: readonly unknown[], values: unknown[] = []): Bound {
    let next = 0;
    const text = sql.replaceAll(/\\\?|\?\??/g, (placeholder) => {
      if (placeholder === '\\?') return '?';
      if (next >= params.length) return placeholder;
      const value = params[next++];
      return placeholder === '??' ? this.platform.quoteIdentifier(String(value)) : this.bindValue(value, values);
    });
    return { text, values };
  }

  private bindValue(value: unknown, values: unknown[]): string {
    if (isRaw(value)) return this.bind(value.sql, value.params, values).text;
    // A list stands for `in (…)`; arrays and JSON come here as text already.
    if (Array.isArray(value)) return value.map((item) => this.bindValue(item, values)).join(', ');
    values.push(Utils.isPlainObject(value) ? JSON.stringify(value) : value);
    return `$${values.length}`;
  }
}

/** PostgreSqlDriver with the connection above; the library offers no way to pass one in. */
export class BindingDriver extends AbstractSqlDriver<BindingConnection> {
  declare [EntityManagerType]: SqlEntityManager<this>;

  constructor(config: Configuration) {
    super(config, new PostgreSqlPlatform(), BindingConnection, ['kysely', 'pg']);
  }

  override createEntityManager(useContext?: boolean): this[typeof EntityManagerType] {
    return new SqlEntityManager(this.config, this, this.metadata, useContext);
  }
}

export type EntityManager = SqlEntityManager<BindingDriver>;
