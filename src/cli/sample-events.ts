import { randomUUID } from 'node:crypto';

/** One of the sample events: its name, who sends such, and its body made new at every call. */
export interface SampleEvent {
  readonly name: string;
  /** `events`: signed events; `alerts`: rule alerts. */
  readonly kind: 'events' | 'alerts';
  readonly make: () => object;
}

const COMPANY = { id: '7d1f0c52-3f5e-4b7b-9d55-2c9a1b60e8a4', name: 'Harbour Street Bakery' };
const CONNECTION = '1c8e6a94-52b0-4f0e-8a3d-90f7d1c4b6e2';

/** The sample events, shaped as Codat's own are; every name, id and value is made up. */
export const SAMPLE_EVENTS: readonly SampleEvent[] = [
  event('company.created', () => ({
    ...COMPANY,
    description: 'Asked for an overdraft review.',
    redirect: `https://link.example/company/${COMPANY.id}`,
    lastSync: new Date().toISOString(),
    created: new Date().toISOString(),
    tags: { region: 'uk', uid: 'crm-20417' },
  })),
  event('connection.connected', () => ({
    referenceCompany: referenceCompany('Asked for an overdraft review.'),
    connection: {
      id: CONNECTION,
      integrationId: 'e0c1f4b8-9a77-4a43-8d0e-5b1f2f6f3c11',
      integrationKey: 'demo',
      sourceId: '3b6e2f70-1d9c-4c58-a6c4-7e5f0a9b8d21',
      platformName: 'Example Ledger',
      linkUrl: `https://link.example/companies/${COMPANY.id}/connections/${CONNECTION}/start`,
      status: 'Linked',
      lastSync: new Date().toISOString(),
      created: new Date().toISOString(),
      sourceType: 'Accounting',
    },
  })),
  event('read.completed', () => readCompleted(['invoices', 'customers'])),
  event('read.completed.initial', () => readCompleted(['company', 'chartOfAccounts', 'invoices', 'bills'])),
  event('invoices.write.successful', () => write('Create', 'inv_00481')),
  event('invoices.write.unsuccessful', () => write('Update')),
  event('bills.write.successful', () => write('Create', 'bil_00093')),
  event('customers.write.successful', () => write('Create', 'cus_00712')),
  event('expenses.sync.successful', () => expensesSync([undefined, undefined])),
  event('expenses.sync.unsuccessful', () => expensesSync([undefined, 'The account is closed.'])),
  event('bankFeeds.sourceAccount.connected', () => ({
    referenceCompany: referenceCompany('Bank feed for the current account.'),
    connectionId: CONNECTION,
    sourceAccount: {
      id: 'acc-0417',
      accountName: 'Till and card takings',
      sortCode: '000000',
      accountNumber: '00417000',
      currency: 'GBP',
      balance: 1284.55,
      modifiedDate: new Date().toISOString(),
      status: 'connected',
    },
  })),
  event('client.rateLimit.reached', () => ({
    dailyQuota: 5000,
    quotaRemaining: 0,
    expiryDate: new Date(Date.now() + 6 * 3_600_000).toISOString(),
  })),
  {
    name: 'rule.alert',
    kind: 'alerts',
    make: () => ({
      AlertId: randomUUID(),
      ClientId: '5f0b9c1e-6d1a-4a0d-b6f4-2e7c8d9a0b13',
      ClientName: 'Example Lending',
      CompanyId: COMPANY.id,
      DataConnectionId: CONNECTION,
      RuleId: '9ad2c7f3-4e0b-4c6f-8f13-6b5d1e2a7c90',
      RuleType: 'Data sync completed',
      Message: `Data sync completed for company ${COMPANY.name}`,
      Data: { dataType: 'invoices', datasetId: randomUUID() },
    }),
  },
];

/** The sample event of that name. */
export function findSample(name: string): SampleEvent | undefined {
  return SAMPLE_EVENTS.find((sample) => sample.name === name);
}

function event(name: string, payload: () => object): SampleEvent {
  return {
    name,
    kind: 'events',
    make: () => ({
      id: randomUUID(),
      eventType: name,
      generatedDate: new Date().toISOString(),
      payload: payload(),
    }),
  };
}

function referenceCompany(description: string): object {
  return {
    ...COMPANY,
    description,
    links: { portal: `https://app.example/companies/${COMPANY.id}/summary` },
    tags: { region: 'uk', uid: 'crm-20417' },
  };
}

function readCompleted(dataTypes: readonly string[]): object {
  return {
    referenceCompany: referenceCompany('Asked for an overdraft review.'),
    modifiedFromDate: new Date(Date.now() - 86_400_000).toISOString(),
    dataTypes: dataTypes.map((dataType) => ({
      connectionId: CONNECTION,
      dataType,
      recordsModified: true,
      status: 'Complete',
    })),
  };
}

function write(type: 'Create' | 'Update', recordId?: string): object {
  return {
    id: randomUUID(),
    type,
    referenceCompany: { ...COMPANY, description: 'crm-20417' },
    connectionId: CONNECTION,
    requestedOnDate: new Date(Date.now() - 23_000).toISOString(),
    completedOnDate: new Date().toISOString(),
    status: recordId ? 'Success' : 'Failed',
    ...(recordId && { record: { id: recordId } }),
  };
}

function expensesSync(errors: readonly (string | undefined)[]): object {
  return {
    referenceCompany: { ...COMPANY, description: 'Card expenses' },
    syncId: randomUUID(),
    transactions: errors.map((errorMessage) => ({
      id: randomUUID(),
      status: errorMessage ? 'Failed' : 'Completed',
      // Codat writes an explicit null where there is no error.
      errorMessage: errorMessage ?? null,
    })),
  };
}
